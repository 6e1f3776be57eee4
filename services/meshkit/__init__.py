"""The runtime that every Paymesh service shares: a service contains its own trade only.

Nothing here connects, opens or reads anything at import.
"""
