"""`make demo`: payments through the gateway, refusals at every layer, balances that add up."""
