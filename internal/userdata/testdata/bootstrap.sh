#!/bin/bash
set -o xtrace
# what EKS writes for managed node groups
B64_CLUSTER_CA=LS0tLS1CRUdJTg==
API_SERVER_URL=https://0123456789ABCDEF.gr7.ap-northeast-2.eks.amazonaws.com
K8S_CLUSTER_DNS_IP=10.100.0.10
export GROUP="g"
/etc/eks/bootstrap.sh eks-work --kubelet-extra-args "--node-labels=a=b,eks.amazonaws.com/nodegroup=${GROUP} --max-pods=20 \
  --register-with-taints k=v:NoSchedule,x:PreferNoSchedule" \
  --b64-cluster-ca $B64_CLUSTER_CA --apiserver-endpoint "$API_SERVER_URL" --dns-cluster-ip $K8S_CLUSTER_DNS_IP --use-max-pods false # done
