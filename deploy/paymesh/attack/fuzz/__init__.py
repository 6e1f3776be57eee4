"""A fuzzer over raw HTTP/2 frames, header fields and gRPC messages, against a mesh that runs.

`grammar` makes sequences of frames out of a seed: mostly right ones, spoilt in one way or
another, around requests that this caller may not make. `send` sends them as they are, `judge`
looks at what became of the mesh, `minimise` makes a sequence that was too much for it smaller.
`run` does all of it.
"""
