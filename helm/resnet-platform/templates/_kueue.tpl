{{- /* Kueue's cluster-scoped objects: (root, apiVersion). Each flavor is one kind of hardware. */ -}}
{{- define "resnet-platform.cluster" -}}
{{- $root := index . 0 -}}
{{- $api := index . 1 -}}
{{- $v := $root.Values.kueue -}}
{{- $known := $root.Files.Get "files/flavors.json" | fromJson -}}
{{- if not $v.flavors -}}
{{- fail "kueue.flavors: must name hardware if kueue.cluster is true (--set kueue.flavors.v4-32=64)" -}}
{{- end -}}
{{- range $v.topologyFlavors -}}
{{- if not (and $v.topology (hasKey $v.flavors .)) -}}
{{- fail (printf "kueue.topologyFlavors: must be flavors, with kueue.topology, got '%s'" .) -}}
{{- end -}}
{{- if eq . "cpu" -}}
{{- fail "kueue.topologyFlavors: must be TPU slices or GPU generations, got 'cpu': Kueue places by topology only where a flavor has node labels" -}}
{{- end -}}
{{- end -}}
{{- $groups := dict -}}
{{- range $name, $amount := $v.flavors -}}
{{- $flavor := get $known $name -}}
{{- if not $flavor -}}
{{- $allowed := "a TPU slice, a GPU generation or cpu" -}}
{{- fail (printf "kueue.flavors: must be %s, got '%s' (resnet-launch slices lists them)" $allowed $name) -}}
{{- end -}}
{{- $quota := list (dict "name" $flavor.resource "nominalQuota" (include "resnet-platform.text" $amount)) -}}
{{- $others := get $groups $flavor.resource | default list -}}
{{- $_ := set $groups $flavor.resource (append $others (dict "name" $name "resources" $quota)) }}
---
apiVersion: {{ $api }}
kind: ResourceFlavor
metadata:
  name: {{ $name }}
  labels:
    {{- include "resnet-platform.labels" $root | nindent 4 }}
spec:
  nodeLabels: {{ toJson $flavor.labels }}
  {{- if has $name $v.topologyFlavors }}
  topologyName: {{ $v.clusterQueue }}
  {{- end }}
{{- end }}
{{- if $v.topology }}
---
apiVersion: {{ include "resnet-platform.topologyApi" (list $root $api) }}
kind: Topology
metadata:
  name: {{ $v.clusterQueue }}
  labels:
    {{- include "resnet-platform.labels" $root | nindent 4 }}
spec:
  levels:
  {{- range $v.topology }}
  - nodeLabel: {{ . }}
  {{- end }}
{{- end }}
---
apiVersion: {{ $api }}
kind: ClusterQueue
metadata:
  name: {{ $v.clusterQueue }}
  labels:
    {{- include "resnet-platform.labels" $root | nindent 4 }}
spec:
  namespaceSelector: {}
  {{- if $v.preempt }}
  preemption: {withinClusterQueue: LowerPriority}
  {{- end }}
  resourceGroups:
  {{- range $resource, $flavors := $groups }}
  - coveredResources: [{{ $resource }}]
    flavors:
    {{- toYaml $flavors | nindent 4 }}
  {{- end }}
{{- range $name, $value := $v.priorities }}
---
apiVersion: {{ $api }}
kind: WorkloadPriorityClass
metadata:
  name: {{ $name }}
  labels:
    {{- include "resnet-platform.labels" $root | nindent 4 }}
value: {{ int $value }}
description: runs submitted with --priority {{ $name }}
{{- end }}
{{- end -}}
