"""From `policies/` to the signed bundle that every policy decision point runs.

coverage      every RPC is granted or closed, every grant names things that exist
environment   what the policy has to know of this mesh: workloads, trust domain, users' issuer
names         what bundles and the keys of their signatures are called
contents      the files of a bundle, before anything is signed
bundle        signed, packed, read back, published
compiler      the decision point's own compiler, kept warm
watching      edits, by the kernel's word
checkout      whether git is at work in it
archive       every published bundle, by the revision that decisions name
publisher     publishes what compiles
edits         follows edits of policies/ and publishes after each
shadow        a candidate beside the live policy: published, switched off
shadow_report what decision points say about it
server        hands the bundle to policy decision points
served        one file of the server, and those who wait for it
bench         what edits and grants cost, measured
certificate   the server's certificate, renewed while it runs
follower      in a cluster: fetches the published bundle for the server
candidate     a policy that is not in force: a directory's or a revision's
engine        questions to one
matrix        who may do what, found by asking every question
approvals     which changes of it somebody has approved
"""
