"""Takes payments and gives them back: card or bank account, provider, ledger."""
