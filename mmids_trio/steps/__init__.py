"""The steps that workflows are made of, and the contract for writing one (`mmids_trio.workflow.step`)."""
