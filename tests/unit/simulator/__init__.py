"""Requests on two nodes, in one process and without time: every crash, pause and lost answer, one by one.

    world      clock, who runs next, what goes wrong at which moment
    ports      what stands outside the product: mailbox, SMTP, ZooKeeper, telephone servers, the two disks
    node       the product's own services, put together over the ports
    stories    what is asked for, and what must have come of it
    checker    what must hold when everything is quiet again

A moment is a place where something can go wrong: before and after each call to
the outside, and each fail point of daemon.jobs.failpoints. The moments of a
run have numbers; a run that is given the same decisions is the same run.
"""
