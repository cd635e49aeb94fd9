# One image with every program of the control plane; it gets all the names that kubeadm asks for.
FROM scratch
COPY root /
ENV PATH=/usr/sbin:/usr/bin
ENTRYPOINT ["/coredns"]
