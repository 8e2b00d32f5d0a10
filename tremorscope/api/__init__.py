"""The Python interface, as ``import tremorscope as ts`` offers it: thin, over the jobs that the commands run."""
