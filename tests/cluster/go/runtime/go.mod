module resnet-launch/tests/cluster/go/runtime

go 1.26.0
