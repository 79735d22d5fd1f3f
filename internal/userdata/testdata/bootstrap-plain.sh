#!/usr/bin/env bash
sudo bash /etc/eks/bootstrap.sh 'eks-work' --use-max-pods 'false' --container-runtime containerd --ip-family ipv4
