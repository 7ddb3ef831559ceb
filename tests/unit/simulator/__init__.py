"""Requests on two nodes, in one process and without time: every crash, pause and lost answer, one by one.

    cases, explorer   what goes wrong: one thing in one request; several in several, by chance
    stories, checker  what is asked for and what must have come of it; what must hold when all is quiet
    planted           bugs that must be found
    site              everything of one run, put together
    node, host        the product's own services over the ports; what outlives a process
    cluster           who is there and who is the master
    world, strands    clock, who runs next, what can stand still in the middle
    zookeeper, mailserver, machines    the ports: what stands outside the product

A moment is a place where something can go wrong: before and after each call to
the outside, and each fail point of daemon.jobs.failpoints. The moments of a
run have numbers; a run that is given the same decisions is the same run.
"""
