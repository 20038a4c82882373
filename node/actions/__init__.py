"""What operators may do, from the page, the command line or elsewhere: each action can say beforehand what it will do,
and leaves a line in the audit trail with who did it.
"""
