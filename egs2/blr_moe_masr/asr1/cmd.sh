# How jobs are run: local (on this machine) or by a cluster's scheduler, whose settings are in conf/*.conf of an ESPnet
# checkout. Kaldi's scripts for both come with the checkout; without one, local/run_jobs.sh takes the same arguments.
cmd_backend=local
case "${cmd_backend}" in
    local) runner=$([ -e utils/run.pl ] && echo run.pl || echo local/run_jobs.sh) ;;
    slurm) runner=slurm.pl ;;
    sge) runner=queue.pl ;;
    pbs) runner=pbs.pl ;;
    *) echo "cmd.sh: unknown cmd_backend ${cmd_backend}; choose local, slurm, sge or pbs" >&2; exit 1 ;;
esac
# Options of a scheduler go here, for example "${runner} --mem 4G".
export train_cmd="${runner}"   # data and statistics
export cuda_cmd="${runner}"    # training, and decoding with GPUs
export decode_cmd="${runner}"
