"""Reading the decision logs: every workload's, its rotated files too, in order of time.

    moments    --since and --until → Unix time in nanoseconds
    files      which files there are
    records    one line → a record, or what is damaged about it
    lines      the lines of one file, forwards and backwards, from a moment on
    selection  which records are wanted
    merge      all workloads' records in order of time
    follow     what is written from now on
    find       one record by its decision id
    table      a record as one line for people

A record is a promise: it was written before its call was answered. So nothing here ever
stops at what it cannot read. It is passed over and named, with file, offset and length.
"""
