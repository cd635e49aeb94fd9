# A node for kind, made of Debian's systemd and containerd, kind's own files, and Kubernetes as the test cluster
# builds it. It follows kind's images/base/Dockerfile; what differs is said beside it.
ARG ROOT
FROM ${ROOT}
COPY files/ /
COPY bin/ /usr/local/bin/
# A pod's network without an image of its own: one node needs no more than a bridge.
COPY bridge.conflist /etc/cni/net.d/10-bridge.conflist
COPY default-cni.yaml default-storage.yaml /kind/manifests/
RUN chmod 755 /usr/local/bin/* /kind/bin/* \
 && find /lib/systemd/system/sysinit.target.wants/ -name systemd-tmpfiles-setup.service -delete \
 && rm -f /lib/systemd/system/multi-user.target.wants/* /etc/systemd/system/*.wants/* \
    /lib/systemd/system/local-fs.target.wants/* /lib/systemd/system/sockets.target.wants/*udev* \
    /lib/systemd/system/sockets.target.wants/*initctl* /lib/systemd/system/basic.target.wants/* \
 && echo ReadKMsg=no >> /etc/systemd/journald.conf \
 && ln -sf /usr/local/bin/kubelet /usr/bin/kubelet \
 && ln -sf /usr/bin/containerd /usr/bin/ctr /usr/local/bin/ \
 && mkdir -p /etc/kubernetes/manifests /opt/cni && ln -s /usr/lib/cni /opt/cni/bin \
# Debian's containerd, and a machine that may lack capabilities: no better out-of-memory score than containerd's,
# and a runtime that asks for no more than there is.
 && sed -i -e '/^OOMScoreAdjust=/d' /etc/systemd/system/containerd.service \
 && sed -i -e 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' \
    -e 's/^\( *\)SystemdCgroup = true/&\n\1BinaryName = "\/usr\/local\/bin\/runtime"/' /etc/containerd/config.toml \
# A kubelet from 1.35 on does not start under cgroup v1 unless it is told to.
 && printf ' --fail-cgroupv1=false' >> /etc/default/kubelet \
 && ctr oci spec | jq '.hooks.createContainer += [{path: "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' \
    > /etc/containerd/cri-base.json \
 && systemctl enable kubelet.service containerd.service undo-mount-hacks.service \
 && systemctl mask systemd-binfmt.service
ENV container=docker
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]
