#!/bin/bash
# Starts one Ceph RADOS gateway on 127.0.0.1 and returns when it answers. Runs inside the root file system that
# s3-servers.sh makes. Usage: rgw-up.sh rados|dbstore DATA_DIR PORT MON_PORT
# User testaccess / testsecret (RGW_ACCESS_KEY, RGW_SECRET_KEY); SSE-KMS key testkey-1. RGW_LISTEN is another address, and
# RGW_OBJECTSTORE=bluestore keeps the objects in DATA_DIR, for a start to find again, and not in memory. `dbstore` is the experimental backend that ignores
# preconditions: the store that Pangolin must refuse.
set -euo pipefail
backend=$1 data=$2 port=$3 mon=$4
listen=${RGW_LISTEN:-127.0.0.1} objectstore=${RGW_OBJECTSTORE:-memstore}
mkdir -p "$data"/{mon,osd0,run,log,db}
export CEPH_CONF="$data/ceph.conf" CEPH_ARGS="-c $data/ceph.conf"
[ -e "$data/fsid" ] || cat /proc/sys/kernel/random/uuid >"$data/fsid"
[ -e "$data/kms-key" ] || head -c 32 /dev/urandom | base64 >"$data/kms-key"
fsid=$(cat "$data/fsid")
kms_key=$(cat "$data/kms-key")

# The paxos settings take the start from 12 s to 1 s; with the autoscaler on, pools cannot be created on one OSD.
cat >"$CEPH_CONF" <<CONF
[global]
fsid = $fsid
mon_host = [v2:127.0.0.1:$mon,v1:127.0.0.1:$((mon + 1))]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
auth_allow_insecure_global_id_reclaim = false
mon_data_avail_warn = 0
mon_data_avail_crit = 0
osd_pool_default_size = 1
osd_pool_default_min_size = 1
mon_allow_pool_size_one = true
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
osd_objectstore = $objectstore
bluestore_block_size = 21474836480
memstore_device_bytes = 2147483648
osd_memory_target = 939524096
mon_max_pg_per_osd = 1000
paxos_propose_interval = 0.02
paxos_min_wait = 0.01
run_dir = $data/run
admin_socket = $data/run/\$name.asok
log_file = $data/log/\$name.log
pid_file = $data/run/\$name.pid
mon_data = $data/mon
osd_data = $data/osd0
keyring = $data/keyring
crash_dir = $data/crash
[client.rgw]
keyring = $data/keyring
rgw_frontends = beast endpoint=$listen:$port tcp_nodelay=1
rgw_crypt_require_ssl = false
rgw_crypt_s3_kms_backend = testing
rgw_crypt_s3_kms_encryption_keys = testkey-1=$kms_key
CONF

if [ "$backend" = dbstore ]; then
  cat >>"$CEPH_CONF" <<CONF
rgw_backend_store = dbstore
rgw_config_store = dbstore
dbstore_db_dir = $data/db
rgw_data = $data/db
CONF
fi

if [ ! -e "$data/keyring" ]; then
  ceph-authtool --create-keyring "$data/keyring" --gen-key -n mon. --cap mon 'allow *'
  ceph-authtool "$data/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
  ceph-authtool "$data/keyring" --gen-key -n client.rgw --cap mon 'allow rw' --cap osd 'allow rwx'
  ceph-authtool "$data/keyring" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
fi
if [ "$backend" = rados ]; then
  if [ ! -e "$data/made" ]; then
    # Of a start that did not get far.
    rm -rf "$data"/{mon,osd0} && mkdir -p "$data"/{mon,osd0}
    monmaptool --create --clobber --fsid "$fsid" \
      --addv a "[v2:127.0.0.1:$mon,v1:127.0.0.1:$((mon + 1))]" "$data/monmap"
    ceph-mon --mkfs -i a --monmap "$data/monmap" --keyring "$data/keyring"
  fi
  ceph-mon -i a
  if [ ! -e "$data/made" ]; then
    ceph osd create
    ceph-osd -i 0 --mkfs
    touch "$data/made"
  fi
  ceph-osd -i 0
  radosgw -n client.rgw
else
  # Without monitors there is nothing to fetch a configuration or a ticket from.
  radosgw -n client.rgw --no-mon-config
fi

user=(--uid=test --display-name=test "--access-key=${RGW_ACCESS_KEY:-testaccess}" "--secret-key=${RGW_SECRET_KEY:-testsecret}")
# One that it has already is told so, and is no failure.
create() { radosgw-admin "$@" user create "${user[@]}" >/dev/null || radosgw-admin "$@" user info --uid=test >/dev/null; }
for _ in $(seq 600); do
  if curl -s -o /dev/null "http://127.0.0.1:$port/"; then
    if [ "$backend" = rados ]; then create; else create -n client.rgw --no-mon-config; fi
    exit 0
  fi
  sleep 0.1
done
tail -n 20 "$data"/log/* >&2
exit 1
