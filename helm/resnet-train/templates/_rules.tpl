{{- /* Rules between values: those of the launcher, with its messages (files/words.json). */ -}}

{{- /* Adds a problem: (run, key in words.json, values of its placeholders). */ -}}
{{- define "resnet-train.wrong" -}}
{{- $run := index . 0 -}}
{{- $text := get $run.words (index . 1) -}}
{{- range $name, $value := index . 2 }}{{ $text = replace (printf "{%s}" $name) (toString $value) $text }}{{ end -}}
{{- $_ := set $run "problems" (append $run.problems $text) -}}
{{- end -}}

{{- define "resnet-train.rules" -}}
{{- $run := . -}}
{{- range list "program" "name" "steps" "batch" "recipe" "network" "depth" "mesh" "slices" "storage" "environment" "resources" "nodes" "capacity" "fabric" "queue" "code" "labels" "patch" -}}
{{- include (printf "resnet-train.%sRule" .) $run -}}
{{- end -}}
{{- end -}}

{{- define "resnet-train.nameRule" -}}
{{- $room := sub .jobset.longestName (printf "-slice-%d-%d-abcde" (sub .numSlices 1) (sub .slice.hosts 1) | len) -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" .name) -}}
{{- include "resnet-train.wrong" (list . "name-form" (dict "got" .name)) -}}
{{- else if gt (len .name) (int $room) -}}
{{- include "resnet-train.wrong" (list . "name" (dict "room" $room "slices" .numSlices "slice" .slice.name "got" .name)) -}}
{{- end -}}
{{- end -}}

{{- define "resnet-train.slicesRule" -}}
{{- $singleHost := and (eq .slice.kind "tpu") (eq (int .slice.hosts) 1) -}}
{{- if and $singleHost (gt .numSlices 1) -}}
{{- include "resnet-train.wrong" (list . "num-slices" (dict "slice" .slice.name "got" .numSlices)) -}}
{{- end -}}
{{- if and (eq .slice.kind "tpu") (not .gke) -}}
{{- include "resnet-train.wrong" (list . "platform" (dict "slice" .slice.name)) -}}
{{- end -}}
{{- if and .values.gpuResource (or .gke (ne .slice.kind "gpu")) -}}
{{- include "resnet-train.wrong" (list . "gpu-resource" dict) -}}
{{- end -}}
{{- end -}}

{{- define "resnet-train.storageRule" -}}
{{- $run := . -}}
{{- $inside := hasPrefix "gs://" .runDir -}}
{{- $paths := list -}}
{{- range .mounts -}}
{{- if and (eq .kind "ssd") (not $run.values.customSlice) ($run.slice.row | default dict).selectsMachine }}{{ include "resnet-train.wrong" (list $run "no-ssd" (dict "slice" $run.slice.name)) }}{{ end -}}
{{- if and (not .readOnly) (hasPrefix (print .path "/") (print $run.runDir "/")) }}{{ $inside = true }}{{ end -}}
{{- if has .path $paths }}{{ include "resnet-train.wrong" (list $run "mount" (dict "path" .path)) }}{{ end -}}
{{- $paths = append $paths .path -}}
{{- end -}}
{{- if and .kept (not $inside) }}{{ include "resnet-train.wrong" (list . "run-dir" (dict "got" .runDir)) }}{{ end -}}
{{- end -}}

{{- define "resnet-train.environmentRule" -}}
{{- $run := . -}}
{{- $env := (include "resnet-train.pairs" .values.env | fromJson).names -}}
{{- $secrets := (include "resnet-train.pairs" .values.secretEnv | fromJson).names -}}
{{- range $field, $names := dict "env" $env "secret-env" $secrets -}}
{{- range $name := $names -}}
{{- $joining := and $run.values.command (ne $run.slice.kind "tpu") (has $name $run.jobset.joining) -}}
{{- if $joining }}{{ include "resnet-train.wrong" (list $run "reserved" (dict "field" $field "name" $name)) }}{{ end -}}
{{- range $run.jobset.reserved -}}
{{- if hasPrefix . $name }}{{ include "resnet-train.wrong" (list $run "reserved" (dict "field" $field "name" $name)) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $secrets -}}
{{- if has . $env }}{{ include "resnet-train.wrong" (list $run "secret-env" (dict "name" .)) }}{{ end -}}
{{- end -}}
{{- end -}}

{{- define "resnet-train.labelsRule" -}}
{{- $run := . -}}
{{- range $field, $pairs := dict "annotation" .values.annotation "label" .values.label -}}
{{- range $key := (include "resnet-train.pairs" $pairs | fromJson).names -}}
{{- $reserved := has $key $run.jobset.selecting -}}
{{- range $run.jobset.reservedKeys }}{{ if hasPrefix . $key }}{{ $reserved = true }}{{ end }}{{ end -}}
{{- if $reserved -}}
{{- include "resnet-train.wrong" (list $run "selecting" (dict "field" $field "key" $key)) -}}
{{- else if and (eq $field "label") (has $key $run.jobset.queueLabels) -}}
{{- include "resnet-train.wrong" (list $run "queue-label" (dict "key" $key)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "resnet-train.capacityRule" -}}
{{- $run := . -}}
{{- $v := .values -}}
{{- $options := list -}}
{{- range list "spot" "reservation" "flex" }}{{ if get $v . }}{{ $options = append $options . }}{{ end }}{{ end -}}
{{- if gt (len $options) 1 -}}
{{- include "resnet-train.wrong" (list . "capacity" (dict "field" (last $options) "options" (join " and " $options))) -}}
{{- end -}}
{{- range empty $v.placementPolicy | ternary $options (append $options "placement-policy") -}}
{{- if not $run.gke }}{{ include "resnet-train.wrong" (list $run "not-gke" (dict "field" .)) }}
{{- else if eq $run.slice.kind "cpu" }}{{ include "resnet-train.wrong" (list $run "not-cpu" (dict "field" .)) }}{{ end -}}
{{- end -}}
{{- if and (hasKey $v "flex") (or (le .flex 0) (gt .flex (int64 .jobset.flexSeconds))) -}}
{{- include "resnet-train.wrong" (list . "flex" (dict "got" (include "resnet-train.duration" .flex))) -}}
{{- end -}}
{{- if and .flex .slice.row (not .slice.row.flex) -}}
{{- include "resnet-train.wrong" (list . "no-flex" (dict "slice" .slice.name)) -}}
{{- end -}}
{{- $needsPolicy := and .gke .slice.row .slice.row.placementPolicy (gt (int .slice.hosts) 1) -}}
{{- if and $needsPolicy (not $v.placementPolicy) -}}
{{- include "resnet-train.wrong" (list . "placement-policy" (dict "slice" .slice.name)) -}}
{{- end -}}
{{- end -}}

{{- define "resnet-train.resourcesRule" -}}
{{- $run := . -}}
{{- $v := .values -}}
{{- range $field := list "cpu" "memory" -}}
{{- $request := get $v $field -}}
{{- $limit := get $v (print $field "Limit") -}}
{{- if and $request $limit -}}
{{- if gt (include "resnet-train.amount" $request | float64) (include "resnet-train.amount" $limit | float64) -}}
{{- include "resnet-train.wrong" (list $run "limit" (dict "field" $field "request" (include "resnet-train.text" $request) "got" (include "resnet-train.text" $limit))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "resnet-train.nodesRule" -}}
{{- $run := . -}}
{{- $v := .values -}}
{{- if and $v.computeClass (not .gke) }}{{ include "resnet-train.wrong" (list . "compute-class" dict) }}{{ end -}}
{{- $selected := (include "resnet-train.pairs" $v.nodeSelector | fromJson).names -}}
{{- range $v.nodeAffinity -}}
{{- $key := regexFind "^[^=]*" . -}}
{{- if has $key $selected }}{{ include "resnet-train.wrong" (list $run "node-affinity" (dict "key" $key)) }}{{ end -}}
{{- end -}}
{{- end -}}

{{- define "resnet-train.queueRule" -}}
{{- $run := . -}}
{{- $v := .values -}}
{{- range $value, $flag := dict "priority" "priority" "topologyRequired" "topology-required" "topologyPreferred" "topology-preferred" -}}
{{- if and (get $v $value) (not $v.queue) }}{{ include "resnet-train.wrong" (list $run "queue" (dict "field" $flag)) }}{{ end -}}
{{- end -}}
{{- $several := gt (int .numSlices) 1 -}}
{{- if and $v.topologyRequired $v.topologyPreferred -}}
{{- include "resnet-train.wrong" (list . "topology" dict) -}}
{{- else if and $v.topologyPreferred $several -}}
{{- include "resnet-train.wrong" (list . "topology-slices" (dict "slices" .numSlices "label" $v.topologyPreferred)) -}}
{{- else if $v.kueueVersion -}}
{{- $form := "^v?0*([0-9]+)[.]0*([0-9]+).*$" -}}
{{- $words := dict "got" (regexReplaceAll $form $v.kueueVersion "${1}.${2}") "slices" .numSlices -}}
{{- $_ := set $words "flag" (ternary "topology-required" "topology-preferred" (not (empty $v.topologyRequired))) -}}
{{- $version := include "resnet-train.version" $v.kueueVersion | int -}}
{{- if and $v.topologyRequired $several (lt $version 13) }}{{ include "resnet-train.wrong" (list . "kueue-slices" $words) }}
{{- else if and (or $v.topologyRequired $v.topologyPreferred) (lt $version 9) }}{{ include "resnet-train.wrong" (list . "kueue-topology" $words) }}{{ end -}}
{{- end -}}
{{- end -}}

{{- define "resnet-train.patchRule" -}}
{{- $run := . -}}
{{- range kindIs "slice" .values.patch | ternary .values.patch (list .values.patch) -}}
{{- $patch := . | default "{}" | fromYaml -}}
{{- if hasKey $patch "Error" -}}
{{- include "resnet-train.wrong" (list $run "patch-mapping" (dict "got" .)) -}}
{{- else -}}
{{- range $key, $_ := omit $patch "metadata" "spec" }}{{ include "resnet-train.wrong" (list $run "patch-key" (dict "got" $key)) }}{{ end -}}
{{- $metadata := kindIs "map" $patch.metadata | ternary $patch.metadata dict -}}
{{- if or (hasKey $metadata "name") (hasKey $metadata "namespace") }}{{ include "resnet-train.wrong" (list $run "patch-name" dict) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* On a cluster, a missing kind is a problem. Without a cluster there is no v1/Pod, and nothing is checked. */ -}}
{{- define "resnet-train.installed" -}}
{{- $run := . -}}
{{- $has := .root.Capabilities.APIVersions -}}
{{- if $has.Has "v1/Pod" -}}
{{- $kinds := dict "jobsets.jobset.x-k8s.io" "jobset.x-k8s.io/v1alpha2/JobSet" -}}
{{- range (.network | default dict).objects -}}
{{- $plural := get (dict "ComputeDomain" "computedomains" "ResourceClaimTemplate" "resourceclaimtemplates") .kind -}}
{{- $_ := set $kinds (printf "%s.%s" $plural (splitList "/" .apiVersion | first)) (printf "%s/%s" .apiVersion .kind) -}}
{{- end -}}
{{- if .values.queue -}}
{{- $newer := $has.Has "kueue.x-k8s.io/v1beta2/Workload" -}}
{{- $_ := set $kinds "workloads.kueue.x-k8s.io" (ternary "kueue.x-k8s.io/v1beta2/Workload" "kueue.x-k8s.io/v1beta1/Workload" $newer) -}}
{{- end -}}
{{- range $name, $kind := $kinds -}}
{{- if not ($has.Has $kind) }}{{ include "resnet-train.wrong" (list $run "not-installed" (dict "name" $name)) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* A failure policy as one text that the API server's defaults do not change. */ -}}
{{- define "resnet-train.policyText" -}}
{{- $policy := . | default dict -}}
{{- $text := list (toString $policy.maxRestarts) -}}
{{- range $policy.rules }}{{ $text = concat $text (list .name .action) (.onJobFailureMessagePatterns | default list) }}{{ end -}}
{{- join "|" $text -}}
{{- end -}}

{{- /* The policy of a JobSet that exists cannot change: an upgrade ends here, before Helm stores a revision. */ -}}
{{- define "resnet-train.policyRule" -}}
{{- $run := index . 0 -}}{{- $made := index . 1 -}}
{{- $before := lookup $made.apiVersion "JobSet" ($made.metadata.namespace | default $run.root.Release.Namespace) $made.metadata.name -}}
{{- if and $run.root.Release.IsUpgrade $before -}}
{{- if ne (include "resnet-train.policyText" $before.spec.failurePolicy) (include "resnet-train.policyText" $made.spec.failurePolicy) -}}
{{- $runDir := get ($before.metadata.annotations | default dict) "resnet-launch/run-dir" | default "its run directory" -}}
{{- include "resnet-train.wrong" (list $run "policy-fixed" (dict "name" $made.metadata.name "release" $run.root.Release.Name "runDir" $runDir)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
