"""Links to bank accounts: a reference pointer for each, never a login, never a token."""
