# How jobs are run. local/run_jobs.sh runs them on this machine and needs nothing but Python's packages; inside an
# ESPnet checkout, set these to run.pl, slurm.pl or queue.pl, which take the same arguments.
export train_cmd="local/run_jobs.sh"
export cuda_cmd="local/run_jobs.sh"
export decode_cmd="local/run_jobs.sh"
