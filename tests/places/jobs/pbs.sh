#!/usr/bin/env bash

#PBS -N smdown
#PBS -l select=1:ncpus=16:mem=64GB
#PBS -l walltime=04:00:00
export OMP_NUM_THREADS=1
export MKL_NUM_THREADS=1
export OPENBLAS_NUM_THREADS=1
export GDAL_NUM_THREADS=1
export NUMBA_NUM_THREADS=1
export ZARR_THREADING__MAX_WORKERS=1
export GDAL_CACHEMAX=128
export MALLOC_TRIM_THRESHOLD_=17179869184
export MALLOC_MMAP_MAX_=0
export MALLOC_TOP_PAD_=67108864
export MALLOC_ARENA_MAX=1
export DASK_DISTRIBUTED__WORKER__MEMORY__SPILL=False
export DASK_DISTRIBUTED__WORKER__MEMORY__TARGET=False
export DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE=False
export DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE=0.98
export DASK_DISTRIBUTED__WORKER__MEMORY__MONITOR_INTERVAL=200ms
export DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED=False
export DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL=500ms
export DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL=2s
export DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT=60s
python -m distributed.cli.dask_worker tls://SCHEDULER --name dummy-name --nthreads 1 --memory-limit 4.00GiB --nworkers 16 --nanny --death-timeout 120 --local-directory /tmp --lifetime 13800s --lifetime-stagger 300s --interface lo --protocol tls:// --tls-ca-file TLS/ca.pem --tls-cert TLS/cert.pem --tls-key TLS/key.pem
