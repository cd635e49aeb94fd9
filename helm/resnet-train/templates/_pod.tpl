{{- /* Node selector and tolerations: from the slice, the kind of capacity and the request. */ -}}
{{- define "resnet-train.placement" -}}
{{- $run := . -}}
{{- $v := .values -}}
{{- $row := .slice.row | default dict -}}
{{- $selector := dict -}}
{{- $tolerations := list -}}
{{- range $row.tolerations -}}
{{- $key := and $v.gpuResource (eq .key "nvidia.com/gpu") | empty | ternary .key $v.gpuResource -}}
{{- $tolerations = append $tolerations (merge (dict "key" $key) .) -}}
{{- end -}}
{{- $capacity := dict -}}
{{- if $v.spot }}{{ $_ := set $capacity "cloud.google.com/gke-spot" "true" }}{{ end -}}
{{- if .flex }}{{ $_ := set $capacity (print "cloud.google.com/gke-" (empty $v.queue | ternary "flex-start" "queued")) "true" }}{{ end -}}
{{- range $key := keys $capacity | sortAlpha -}}
{{- $tolerations = append $tolerations (dict "key" $key "operator" "Exists" "effect" "NoSchedule") -}}
{{- end -}}
{{- if $v.computeClass -}}
{{- $tolerations = append $tolerations (dict "key" "cloud.google.com/compute-class" "operator" "Exists" "effect" "NoSchedule") -}}
{{- end -}}
{{- range $v.toleration }}{{ $tolerations = append $tolerations (include "resnet-train.toleration" . | fromJson) }}{{ end -}}
{{- if .gke -}}
{{- $selector = include "resnet-train.fill" (list $run ($row.selector | default dict)) | fromJson | merge (omit $capacity "cloud.google.com/gke-queued") -}}
{{- $machine := get ($row.machines | default dict) (toString .slice.perHost) -}}
{{- if and $row.selectsMachine $machine -}}
{{- $_ := set $selector "node.kubernetes.io/instance-type" $machine -}}
{{- else if eq (.slice.topology | default "") "2x4" -}}
{{- $_ := set $selector "cloud.google.com/gke-accelerator-count" (toString .slice.perHost) -}}
{{- end -}}
{{- if $v.reservation }}{{ include "resnet-train.put" (list $selector (include "resnet-train.reservation" (list $v.reservation .jobset.reservation) | fromJson)) }}{{ end -}}
{{- if $v.computeClass }}{{ $_ := set $selector "cloud.google.com/compute-class" $v.computeClass }}{{ end -}}
{{- if $v.placementPolicy }}{{ $_ := set $selector "cloud.google.com/placement-policy-name" $v.placementPolicy }}{{ end -}}
{{- range .mounts -}}
{{- if eq .kind "ssd" }}{{ $_ := set $selector "cloud.google.com/gke-ephemeral-storage-local-ssd" "true" }}{{ end -}}
{{- end -}}
{{- end -}}
{{- include "resnet-train.put" (list $selector (include "resnet-train.pairs" $v.nodeSelector | fromJson).values) -}}
{{- if $selector }}{{ $_ := set .pod "nodeSelector" $selector }}{{ end -}}
{{- if $tolerations }}{{ $_ := set .pod "tolerations" $tolerations }}{{ end -}}
{{- $expressions := list -}}
{{- range $v.nodeAffinity -}}
{{- $values := regexReplaceAll "^[^=]*=" . "" | splitList "|" | uniq -}}
{{- $expressions = append $expressions (dict "key" (regexFind "^[^=]*" .) "operator" "In" "values" $values) -}}
{{- end -}}
{{- if $expressions -}}
{{- $terms := dict "nodeSelectorTerms" (list (dict "matchExpressions" $expressions)) -}}
{{- $affinity := .pod.affinity | default dict -}}
{{- $_ := set .pod "affinity" (set $affinity "nodeAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" $terms)) -}}
{{- end -}}
{{- end -}}

{{- /* The node labels of a reservation: (its name or path, {path: form, labels: part -> label}). */ -}}
{{- define "resnet-train.reservation" -}}
{{- $name := index . 0 -}}
{{- $labels := dict -}}
{{- range $number, $label := (index . 1).labels -}}
{{- with regexReplaceAll (index $ 1).path $name (printf "${%d}" (add $number 1)) }}{{ $_ := set $labels $label . }}{{ end -}}
{{- end -}}
{{- toJson $labels -}}
{{- end -}}

{{- /* Volumes that the request mounts, and scratch space for a run that keeps nothing. */ -}}
{{- define "resnet-train.volumes" -}}
{{- $run := . -}}
{{- with $run.values.shm }}{{ $size := include "resnet-train.text" . -}}
{{- range $run.pod.volumes }}{{ if eq .name "shm" }}{{ $_ := set .emptyDir "sizeLimit" $size }}{{ end }}{{ end -}}
{{- end -}}
{{- if not .kept -}}
{{- include "resnet-train.volume" (list $run (dict "name" "scratch" "emptyDir" dict) "/scratch" false) -}}
{{- end -}}
{{- range $number, $mount := .mounts -}}
{{- $only := .readOnly | ternary (dict "readOnly" true) dict -}}
{{- $volume := dict "name" (print "mount-" $number) -}}
{{- if eq .kind "pvc" -}}
{{- $_ := set $volume "persistentVolumeClaim" (merge (dict "claimName" .name) $only) -}}
{{- else if eq .kind "gcs" -}}
{{- $attributes := dict "bucketName" .name "mountOptions" "implicit-dirs" -}}
{{- $_ := set $volume "csi" (merge (dict "driver" "gcsfuse.csi.storage.gke.io" "volumeAttributes" $attributes) $only) -}}
{{- else if eq .kind "host" -}}
{{- $_ := set $volume "hostPath" (dict "path" (print "/" .name) "type" "Directory") -}}
{{- else -}}
{{- $_ := set $volume "emptyDir" dict -}}
{{- end -}}
{{- include "resnet-train.volume" (list $run $volume .path .readOnly) -}}
{{- end -}}
{{- end -}}

{{- define "resnet-train.volume" -}}
{{- $run := index . 0 -}}
{{- $mount := dict "name" (index . 1).name "mountPath" (index . 2) -}}
{{- if index . 3 }}{{ $_ := set $mount "readOnly" true }}{{ end -}}
{{- $_ := set $run.pod "volumes" (append $run.pod.volumes (index . 1)) -}}
{{- $_ := set $run.container "volumeMounts" (append $run.container.volumeMounts $mount) -}}
{{- end -}}

{{- /* Adds the fast network between GPU hosts to the pod, as listed in files/slices.json. */ -}}
{{- define "resnet-train.network" -}}
{{- $run := . -}}
{{- $net := include "resnet-train.fill" (list $run .network) | fromJson -}}
{{- $container := .container -}}
{{- $_ := set .pod "volumes" (concat .pod.volumes ($net.volumes | default list)) -}}
{{- $_ := set $container "volumeMounts" (concat $container.volumeMounts ($net.mounts | default list)) -}}
{{- $_ := set $container "command" (concat ($net.command | default list) $container.command) -}}
{{- with $net.security }}{{ $_ := set $container "securityContext" . }}{{ end -}}
{{- $taken := (include "resnet-train.pairs" .values.env | fromJson).names -}}
{{- range $container.env }}{{ if ne .name "LD_LIBRARY_PATH" }}{{ $taken = append $taken .name }}{{ end }}{{ end -}}
{{- $added := list -}}
{{- $names := list -}}
{{- range $net.env -}}
{{- if not (has .name $taken) }}{{ $added = append $added . }}{{ $names = append $names .name }}{{ end -}}
{{- end -}}
{{- $others := list -}}
{{- range $container.env }}{{ if not (has .name $names) }}{{ $others = append $others . }}{{ end }}{{ end -}}
{{- $_ := set $container "env" (concat $others $added) -}}
{{- range $key := list "initContainers" "resourceClaims" -}}
{{- if hasKey $net $key }}{{ $_ := set $run.pod $key (concat (get $run.pod $key | default list) (get $net $key)) }}{{ end -}}
{{- end -}}
{{- if and $net.domain (gt (int .slice.hosts) 1) (not .values.topologyRequired) (not .values.topologyPreferred) -}}
{{- $labels := dict "matchLabels" (dict "jobset.sigs.k8s.io/jobset-name" .name) -}}
{{- $term := dict "topologyKey" (.gke | ternary .jobset.domainLabels.gke .jobset.domainLabels.generic) "labelSelector" $labels -}}
{{- $_ := set $term "matchLabelKeys" (list .jobset.domainLabels.slice) -}}
{{- $required := dict "requiredDuringSchedulingIgnoredDuringExecution" (list $term) -}}
{{- $_ := set .pod "affinity" (set (.pod.affinity | default dict) "podAffinity" $required) -}}
{{- end -}}
{{- if $net.claims }}{{ $_ := set $container.resources "claims" $net.claims }}{{ end -}}
{{- end -}}
