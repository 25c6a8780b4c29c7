"""subprocess: a child interpreter is a fresh one, in the same folder, with the same environment and streams."""

import subprocess
import sys

print("before", flush=True)
code = "import sys, os; print(sys.argv, sys.flags.ignore_environment, os.getcwd(), 'numpy' in sys.modules, sys.path)"
subprocess.run([sys.executable, "-c", code, "x"], check=True)
print(subprocess.run("echo $PPID; exit 3", shell=True, stdout=subprocess.DEVNULL).returncode)
print(subprocess.getstatusoutput("kill -TERM $$"), subprocess._active)
done = subprocess.run(["python", "-m", "json.tool"], input="{}", capture_output=True, text=True)
print(done)
