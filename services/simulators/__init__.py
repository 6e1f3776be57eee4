"""Stand-ins for companies outside the mesh: a card processor and a bank data provider.

Real HTTPS servers with state that survives `kill -9`, idempotency keys with
Stripe's rules, and faults that a caller chooses by the token it sends.
"""
