"""The runtime that every Paymesh service shares: a service contains its own trade only.

    config       the environment, read once          server       the gRPC server and `run`
    errors       one status and reason each           interceptors what happens around a call
    context      caller, user, grant, deadline        channel      calls to other workloads
    identity     SPIFFE IDs                           http         calls to the outside
    money        exact amounts, ISO 4217              pdp          questions about objects
    cards        finds card numbers                   database     PostgreSQL and migrations
    paging       page tokens                          mesh_client  calls without a sidecar
    logging      JSON lines without secrets           telemetry    OpenTelemetry
    drain        an end that no caller notices        migrate      migrations as a program
    testing      fakes and helpers, for tests only

Nothing here connects, opens or reads anything at import.
"""
