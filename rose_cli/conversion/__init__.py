"""From the workflow files of other programs to campaign files: `rose import`."""
