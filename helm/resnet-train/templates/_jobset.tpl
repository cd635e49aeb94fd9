{{- /* Builds the JobSet for the slice's kind of hardware and adds what the options ask for: sets $run.made. */ -}}
{{- define "resnet-train.build" -}}
{{- $run := . -}}
{{- $v := .values -}}
{{- $made := include "resnet-train.fill" (list $run (get .jobset.kinds .slice.kind)) | fromJson -}}
{{- $job := (index $made.spec.replicatedJobs 0).template.spec -}}
{{- $_ := set . "made" $made -}}
{{- $_ := set . "pod" $job.template.spec -}}
{{- $_ := set . "container" (index .pod.containers 0) -}}
{{- $policy := empty .deadline | ternary .policy.jobset .policy.jobsetWithDeadline -}}
{{- $_ := set $made.spec "failurePolicy" (include "resnet-train.fill" (list $run $policy) | fromJson) -}}
{{- if .policy.job }}{{ $_ := set $job "podFailurePolicy" .policy.job }}{{ else }}{{ $_ := unset $job "podFailurePolicy" }}{{ end -}}
{{- include "resnet-train.put" (list $job .policy.replacements) -}}
{{- $limit := or .deadline (and (not $v.queue) .flex) -}}
{{- if $limit }}{{ $_ := set $job "activeDeadlineSeconds" $limit }}{{ end -}}
{{- if $v.queue }}{{ $_ := set $made.spec "suspend" true }}{{ end -}}
{{- if hasKey $v "ttl" }}{{ $_ := set $made.spec "ttlSecondsAfterFinished" (include "resnet-train.seconds" $v.ttl | int64) }}{{ end -}}
{{- include "resnet-train.metadata" (list $run $made.metadata $job.template.metadata) -}}
{{- if $v.serviceAccount }}{{ $_ := set .pod "serviceAccountName" $v.serviceAccount }}{{ end -}}
{{- $secrets := list -}}
{{- range $v.imagePullSecret | default list | uniq }}{{ $secrets = append $secrets (dict "name" .) }}{{ end -}}
{{- if $secrets }}{{ $_ := set .pod "imagePullSecrets" $secrets }}{{ end -}}
{{- if $v.priorityClass }}{{ $_ := set .pod "priorityClassName" $v.priorityClass }}{{ end -}}
{{- if $v.scheduler }}{{ $_ := set .pod "schedulerName" $v.scheduler }}{{ end -}}
{{- if or $v.hostNetwork (and .tuned (has .slice.generation .jobset.tuning.hostNetwork)) -}}
{{- $_ := set (set .pod "hostNetwork" true) "dnsPolicy" "ClusterFirstWithHostNet" -}}
{{- end -}}
{{- range $part := list "placement" "volumes" "command" "env" "resources" "code" }}{{ include (print "resnet-train." $part) $run }}{{ end -}}
{{- if .network }}{{ include "resnet-train.network" $run }}{{ end -}}
{{- if not .container.resources }}{{ $_ := unset .container "resources" }}{{ end -}}
{{- end -}}

{{- /* Sets labels and annotations of the JobSet and its pods; those of the request come last and win. */ -}}
{{- define "resnet-train.metadata" -}}
{{- $run := index . 0 -}}
{{- $v := $run.values -}}
{{- $jobset := index . 1 -}}
{{- $pods := index . 2 -}}
{{- $labels := (include "resnet-train.pairs" $v.label | fromJson).values -}}
{{- $annotations := (include "resnet-train.pairs" $v.annotation | fromJson).values -}}
{{- if $v.namespace }}{{ $_ := set $jobset "namespace" $v.namespace }}{{ end -}}
{{- if $v.queue }}{{ $_ := set $jobset.labels "kueue.x-k8s.io/queue-name" $v.queue }}{{ end -}}
{{- if $v.priority }}{{ $_ := set $jobset.labels "kueue.x-k8s.io/priority-class" $v.priority }}{{ end -}}
{{- include "resnet-train.put" (list $jobset.labels $labels) -}}
{{- include "resnet-train.put" (list $pods.labels $labels) -}}
{{- if $v.command }}{{ $_ := unset $jobset.annotations "resnet-launch/arch" }}{{ end -}}
{{- if $run.codes }}{{ $_ := set $jobset.annotations $run.jobset.exitCodes $run.codes }}{{ end -}}
{{- $exclusive := and $run.gke (eq $run.slice.kind "tpu") (gt (int $run.slice.hosts) 1) -}}
{{- if and $exclusive (not $v.topologyRequired) (not $v.topologyPreferred) -}}
{{- $_ := set $jobset.annotations "alpha.jobset.sigs.k8s.io/exclusive-topology" "cloud.google.com/gke-nodepool" -}}
{{- end -}}
{{- if and $run.flex $v.queue }}{{ $_ := set $jobset.annotations "provreq.kueue.x-k8s.io/maxRunDurationSeconds" (toString $run.flex) }}{{ end -}}
{{- include "resnet-train.put" (list $jobset.annotations $annotations) -}}
{{- $podAnnotations := dict -}}
{{- if $run.codes }}{{ $_ := set $podAnnotations $run.jobset.exitCodes $run.codes }}{{ end -}}
{{- if and $v.topologyRequired (gt (int $run.numSlices) 1) -}}
{{- $_ := set $podAnnotations "kueue.x-k8s.io/podset-slice-required-topology" $v.topologyRequired -}}
{{- $_ := set $podAnnotations "kueue.x-k8s.io/podset-slice-size" (toString $run.slice.hosts) -}}
{{- else if $v.topologyRequired -}}
{{- $_ := set $podAnnotations "kueue.x-k8s.io/podset-required-topology" $v.topologyRequired -}}
{{- end -}}
{{- if $v.topologyPreferred }}{{ $_ := set $podAnnotations "kueue.x-k8s.io/podset-preferred-topology" $v.topologyPreferred }}{{ end -}}
{{- if $run.flex }}{{ $_ := set $podAnnotations "cluster-autoscaler.kubernetes.io/safe-to-evict" "false" }}{{ end -}}
{{- range $run.mounts }}{{ if eq .kind "gcs" }}{{ $_ := set $podAnnotations "gke-gcsfuse/volumes" "true" }}{{ end }}{{ end -}}
{{- include "resnet-train.put" (list $podAnnotations ($run.network.annotations | default dict)) -}}
{{- include "resnet-train.put" (list $podAnnotations $annotations) -}}
{{- if $podAnnotations }}{{ $_ := set $pods "annotations" $podAnnotations }}{{ end -}}
{{- end -}}

{{- /* The NetworkPolicy that lets only the run's own pods reach its pods. */ -}}
{{- define "resnet-train.isolation" -}}
{{- $labels := dict "app.kubernetes.io/name" "resnet-launch" "app.kubernetes.io/instance" .name "app.kubernetes.io/managed-by" "resnet-launch" -}}
{{- include "resnet-train.put" (list $labels (include "resnet-train.pairs" .values.label | fromJson).values) -}}
{{- $metadata := dict "name" .name "labels" $labels -}}
{{- if .values.namespace }}{{ $_ := set $metadata "namespace" .values.namespace }}{{ end -}}
{{- $pods := dict "podSelector" (dict "matchLabels" (dict "jobset.sigs.k8s.io/jobset-name" .name)) -}}
{{- $spec := merge (dict "policyTypes" (list "Ingress") "ingress" (list (dict "from" (list $pods)))) $pods -}}
{{- dict "apiVersion" "networking.k8s.io/v1" "kind" "NetworkPolicy" "metadata" $metadata "spec" $spec | toJson -}}
{{- end -}}

{{- /* Objects that must exist before the JobSet, such as the ComputeDomain of an NVLink domain. */ -}}
{{- define "resnet-train.companions" -}}
{{- $run := . -}}
{{- $objects := list -}}
{{- if $run.values.networkPolicy }}{{ $objects = append $objects (include "resnet-train.isolation" $run | fromJson) }}{{ end -}}
{{- $archived := and $run.values.code (not (hasPrefix "gs://" $run.runDir)) -}}
{{- if $archived }}{{ $objects = append $objects (include "resnet-train.codeConfigMap" $run | fromJson) }}{{ end -}}
{{- range $run.network.objects -}}
{{- $object := include "resnet-train.fill" (list $run .) | fromJson -}}
{{- include "resnet-train.put" (list $object.metadata.labels (include "resnet-train.pairs" $run.values.label | fromJson).values) -}}
{{- if $run.values.namespace }}{{ $_ := set $object.metadata "namespace" $run.values.namespace }}{{ end -}}
{{- $objects = append $objects $object -}}
{{- end -}}
{{- toJson $objects -}}
{{- end -}}
