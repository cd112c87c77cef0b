"""Start of every managed Python function: `python3.X -s /var/runtime/bootstrap.py /opt`.

Python keeps bytecode of modules but compiles a start script anew each time, so this file stays
at a few statements and everything else is in `lambd_runtime`. A process that is started before
it is known for which function waits for that; one that is initialized for its image keeps where it
will wait.
"""
import os
import lambd_runtime

if "_LAMBD_AHEAD" in os.environ:
    import lambd_ahead
    lambd_ahead.wait()
if "_LAMBD_SNAPSHOT" in os.environ:
    import lambd_snapstart
    lambd_snapstart.keep_door()
lambd_runtime.main()
