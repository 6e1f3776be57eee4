"""What is no RPC of a service, each with its attempts and with how the target shows that one
worked.
"""
