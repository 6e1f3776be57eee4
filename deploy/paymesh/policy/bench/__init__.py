"""Measurements of the policy's machinery, in a checkout and home of their own.

site          a copy of the checkout with as many grants as wanted, and keys
points        its bundle server and decision points: the real programs
publishing    its publisher, in a process of its own as the supervisor is
asking        one question again and again, and when its answer changed
reload        from saving a file to the first decision by it
grants        what a decision costs among many grants, and a grant of memory
replay        how fast recorded decisions are replayed
"""
