# shellcheck shell=bash disable=SC2034 # some of the variables that are set here are for whoever sources it
# A Dask cluster inside one job of a batch system. Sourced by slurm/predict.sbatch and pbs/predict.pbs; runs nothing itself.

scratch="$(mktemp -d "${TMPDIR:-/tmp}/smdown.XXXXXX")" # on the first node: the scheduler's log and address
scheduler='' workers='' client='' timer='' signalled=''

# Print what a child said and end: $1 is the reason.
give_up() {
  echo "${0##*/}: $1" >&2
  tail -n 20 "$scratch/scheduler.log" >&2 2>/dev/null || true
  exit 2
}

# Set tls to what scheduler and workers are told on their command lines; $1 is the number of nodes, the rest smdown's options.
choose_security() {
  local nodes="$1" folder="${SMDOWN_TLS_DIR:-}" name
  shift
  if [[ -n $folder ]]; then
    for name in ca.pem cert.pem key.pem; do
      [[ -r $folder/$name ]] || give_up "got SMDOWN_TLS_DIR=$folder, which has no $name; make the files with smdown cluster certs"
    done
    tls=(--protocol tls --tls-ca-file "$folder/ca.pem" --tls-cert "$folder/cert.pem" --tls-key "$folder/key.pem")
    export DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION=True
  elif ((nodes == 1)) || [[ " $* " == *" --insecure "* ]]; then
    tls=(--protocol tcp)
  else
    give_up "got $nodes nodes without TLS; run smdown cluster certs and export SMDOWN_TLS_DIR, or say --insecure"
  fi
}

# Start the scheduler on this node and set SMDOWN_SCHEDULER to its address; $1 is the node's name, used where it has peers.
start_scheduler() {
  local host="$1" tries
  dask scheduler --host "$host" --port 0 --no-dashboard --dashboard-address 127.0.0.1:0 "${tls[@]}" \
    --scheduler-file "$scratch/scheduler.json" >"$scratch/scheduler.log" 2>&1 &
  scheduler=$!
  for ((tries = 0; tries < 600; tries++)); do
    SMDOWN_SCHEDULER="$(sed -n '/^ *"address": "/{s///;s/".*//p;q}' "$scratch/scheduler.json" 2>/dev/null || true)"
    [[ -z $SMDOWN_SCHEDULER ]] || break
    kill -0 "$scheduler" 2>/dev/null || give_up "the scheduler ended; its last lines follow"
    sleep 0.1
  done
  [[ -n $SMDOWN_SCHEDULER ]] || give_up "the scheduler did not come up within a minute; its last lines follow"
  export SMDOWN_SCHEDULER
}

# Set worker to the command of one worker, with the environment of worker.env; $1 is its memory, in bytes or auto.
worker_command() {
  local lines
  mapfile -t lines < <(grep -v '^#' "$SMDOWN_HOME/cluster/worker.env")
  worker=(
    env "${lines[@]}" dask worker "$SMDOWN_SCHEDULER" --nworkers 1 --nthreads 1 --memory-limit "$1" --no-dashboard
    --dashboard-address 127.0.0.1:0 --local-directory "${TMPDIR:-/tmp}" --death-timeout 120 "${tls[@]}"
  )
}

# Wait until the first worker is there, so that memory is checked against what it has; two minutes at most.
await_worker() {
  local tries
  for ((tries = 0; tries < 1200; tries++)); do
    ! grep -q 'Register worker' "$scratch/scheduler.log" || return 0
    kill -0 "$workers" 2>/dev/null || give_up "the workers ended before they reached $SMDOWN_SCHEDULER"
    sleep 0.1
  done
  give_up "no worker reached $SMDOWN_SCHEDULER within two minutes"
}

# Pass a signal on to the client, which then ends in good order within ten seconds.
pass_on() {
  signalled="$1"
  [[ -z $client ]] || kill -s "$1" "$client" 2>/dev/null || true
}

# Have this shell get USR1 after $1 seconds, where the batch system gives no warning.
signal_after() {
  (
    trap 'kill "$!"' TERM
    sleep "$1" &
    wait "$!" && kill -USR1 "$$"
  ) >/dev/null 2>&1 &
  timer=$!
}

# Run smdown beside the workers and set status to how it ended; the shell stays awake for signals meanwhile.
run_client() {
  status=143
  [[ -z $signalled ]] || return 0
  smdown run "$@" --cluster "$SMDOWN_HOME/cluster/profiles/existing.yaml" &
  client=$!
  status=0
  wait "$client" || status=$?
  while kill -0 "$client" 2>/dev/null; do # a signal ended the waiting, not the client
    status=0
    wait "$client" || status=$?
  done
  client=''
}

# End what was started, the scheduler last.
stop_all() {
  local child
  for child in "$timer" "$client" "$workers" "$scheduler"; do
    [[ -z $child ]] || { kill "$child" 2>/dev/null && wait "$child" 2>/dev/null; } || true
  done
  rm -rf "$scratch"
}
