"""What each command of `condyle` does; one module a command, imported only when it is called."""
