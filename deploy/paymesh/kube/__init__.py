"""The command's cluster side: `deploy`, `undeploy`, `policy push`, and what `check --kube` asks.

client      one connection to one cluster; contexts: which; refusals: errors as sentences
kustomize   overlay → objects
objects     what every module asks of an object: key, labels, what a pod refers to
home        the cluster's keys and authorities on this machine
secrets     the Secrets and ConfigMaps that only a deployment can make
stages      which object comes when
apply       server-side apply, Jobs that run again, pruning
narrow      policies that name the API server's own addresses
wait        rollouts and Jobs, and what keeps one from coming up (stuck)
forward     a pod's port as a loopback port here; podexec: a program in a pod
push        a signed policy into the cluster, until every decision point enforces it
deploy, undeploy   the whole
"""
