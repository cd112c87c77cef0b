"""Start of every managed Python function: `python3.X -s /var/runtime/bootstrap.py /opt`.

Python keeps bytecode of modules but compiles a start script anew each time, so
this file stays at two statements and everything else is in `lambd_runtime`.
"""
import lambd_runtime

lambd_runtime.main()
