"""A program that runs where an attacker would, under that uid and in that network.

    python -m paymesh.attack.probe.agent < plan.json > report.json

It knows no more than its plan says, and concludes nothing: what it reports is what it was
answered. Whether that is an edge is found out at the target.

    connections    plaintext, TLS and Unix sockets; refusals told apart from failures
    calls          gRPC over HTTP/2, many calls on one connection
    others         one HTTP/1.1 request, one line, a file's key, a row in a database
    plan           what stands in the plan and in the report
"""
