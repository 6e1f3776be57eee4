"""Who may do what, found by asking the rules themselves.

source     what one state of the policies says: a directory, or a git revision
subjects   who asks: callers and end users, good and bad
shapes     what is asked for: classes of messages, from their descriptors and the limits
disguises  calls that could be taken for a granted one and are none
objects    what is asked of the object decision: actions, relations, kinds and states
plan       the questions, the same for every state that is compared
evaluate   the answers, of the real Rego in one run of the decision point's program
reading    what the policy reads and no question varies
words      a set of classes in as few words as possible
changes    two matrices compared, an edit in a few lines
answers    who can call this, what can this caller do
document   as JSON; `markdown` and `page` for people; `committed` for what stands in git

Nothing here reads a grant to find out what is allowed: grants are read for their limits,
and to say where in the file the one stands that an answer named.
"""
