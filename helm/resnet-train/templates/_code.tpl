{{- /* The code of the run: annotations, variables, working directory, and the init container that unpacks it. */ -}}
{{- define "resnet-train.code" -}}
{{- $run := . -}}
{{- with .values.code -}}
{{- $made := $run.made -}}
{{- $facts := $run.jobset.code -}}
{{- $directory := $facts.directory -}}
{{- $commit := and .commit (print .commit (empty .dirty | ternary "" "-dirty")) -}}
{{- $_ := set $made.metadata.annotations "resnet-launch/code" (print "sha256:" .digest) -}}
{{- if $commit }}{{ $_ := set $made.metadata.annotations "resnet-launch/commit" $commit }}{{ end -}}
{{- include "resnet-train.codeInit" (list $run $facts) -}}
{{- if not $run.container.workingDir }}{{ $_ := set $run.container "workingDir" $directory }}{{ end -}}
{{- $_ := set $run.container "volumeMounts" (append $run.container.volumeMounts (dict "name" "code" "mountPath" $directory "readOnly" true)) -}}
{{- $given := get (include "resnet-train.pairs" $run.values.env | fromJson).values "PYTHONPATH" -}}
{{- $path := concat (list $directory) (compact (list $given)) (list $facts.imagePath) | join ":" -}}
{{- $record := printf "{\"commit\":%s,\"digest\":%s,\"dirty\":%v}" (.commit | default "" | toJson) (toJson .digest) (.dirty | default false) -}}
{{- $env := list -}}
{{- range $run.container.env -}}
{{- $env = append $env (eq .name "PYTHONPATH" | ternary (dict "name" .name "value" $path) .) -}}
{{- end -}}
{{- if not (hasKey (include "resnet-train.pairs" $run.values.env | fromJson).values "PYTHONPATH") }}{{ $env = append $env (dict "name" "PYTHONPATH" "value" $path) }}{{ end -}}
{{- $_ := set $run.container "env" (append $env (dict "name" $facts.variable "value" $record)) -}}
{{- $job := (index $made.spec.replicatedJobs 0).template.spec -}}
{{- $rules := ($job.podFailurePolicy | default dict).rules | default list -}}
{{- $_ := set $job "podFailurePolicy" (dict "rules" (prepend $rules $facts.failureRule)) -}}
{{- with $run.policy.code -}}
{{- $_ := set $made.spec.failurePolicy "rules" (prepend ($made.spec.failurePolicy.rules | default list) .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Adds the init container and its volumes: (run, facts). Its limits are the trainer's, without accelerators. */ -}}
{{- define "resnet-train.codeInit" -}}
{{- $run := index . 0 -}}
{{- $facts := index . 1 -}}
{{- $code := $run.values.code -}}
{{- $init := deepCopy $facts.container -}}
{{- $names := list "HOME" "PYTHONUNBUFFERED" -}}
{{- $names = concat $names (include "resnet-train.pairs" $run.values.env | fromJson).names -}}
{{- $names = concat $names (include "resnet-train.pairs" $run.values.secretEnv | fromJson).names -}}
{{- $env := list -}}
{{- range $run.container.env }}{{ if has .name (without $names "PYTHONPATH") }}{{ $env = append $env . }}{{ end }}{{ end -}}
{{- $resources := dict -}}
{{- range $kind, $amounts := $run.container.resources -}}
{{- $some := pick $amounts "cpu" "memory" "ephemeral-storage" -}}
{{- if $some }}{{ $_ := set $resources $kind $some }}{{ end -}}
{{- end -}}
{{- if $resources }}{{ $_ := set $init "resources" $resources }}{{ end -}}
{{- with $run.values.imagePullPolicy }}{{ $_ := set $init "imagePullPolicy" . }}{{ end -}}
{{- $volumes := list (dict "name" "code" "emptyDir" dict) -}}
{{- $mounts := list (dict "name" "tmp" "mountPath" "/tmp") (dict "name" "code" "mountPath" $facts.directory) -}}
{{- $source := printf "%s/code/%s.tar.gz" $run.runDir $code.digest -}}
{{- if not (hasPrefix "gs://" $run.runDir) -}}
{{- $source = "/code-archive/code.tar.gz" -}}
{{- $volumes = append $volumes (dict "name" "code-archive" "configMap" (dict "name" (include "resnet-train.codeName" $run))) -}}
{{- $mounts = append $mounts (dict "name" "code-archive" "mountPath" "/code-archive" "readOnly" true) -}}
{{- end -}}
{{- $_ := set (set $init "env" $env) "volumeMounts" $mounts -}}
{{- $_ := set (set $init "image" ($run.values.codeImage | default $run.image)) "command" (concat $facts.program (list $source $facts.directory $code.digest)) -}}
{{- $_ := set $run.pod "initContainers" (list $init) -}}
{{- $_ := set $run.pod "volumes" (concat $run.pod.volumes $volumes) -}}
{{- end -}}

{{- define "resnet-train.codeName" -}}
{{ .name }}-code-{{ trunc (int .jobset.code.shortDigest) .values.code.digest }}
{{- end -}}

{{- /* The ConfigMap that holds the code of a run without a bucket. */ -}}
{{- define "resnet-train.codeConfigMap" -}}
{{- $labels := dict "app.kubernetes.io/name" "resnet-launch" "app.kubernetes.io/instance" .name "app.kubernetes.io/managed-by" "resnet-launch" -}}
{{- include "resnet-train.put" (list $labels (include "resnet-train.pairs" .values.label | fromJson).values) -}}
{{- $metadata := dict "name" (include "resnet-train.codeName" .) "labels" $labels -}}
{{- if .values.namespace }}{{ $_ := set $metadata "namespace" .values.namespace }}{{ end -}}
{{- $data := dict "code.tar.gz" .values.code.archive -}}
{{- dict "apiVersion" "v1" "kind" "ConfigMap" "metadata" $metadata "immutable" true "binaryData" $data | toJson -}}
{{- end -}}

{{- define "resnet-train.codeRule" -}}
{{- $run := . -}}
{{- if and .values.codeImage (not .values.code) }}{{ include "resnet-train.wrong" (list . "code-image" dict) }}{{ end -}}
{{- with .values.code -}}
{{- $directory := $run.jobset.code.directory -}}
{{- range $run.mounts -}}
{{- if hasPrefix (print $directory "/") (print .path "/") }}{{ include "resnet-train.wrong" (list $run "code-mount" (dict "path" .path)) }}{{ end -}}
{{- end -}}
{{- if has "PYTHONPATH" (include "resnet-train.pairs" $run.values.secretEnv | fromJson).names }}{{ include "resnet-train.wrong" (list $run "code-secret" dict) }}{{ end -}}
{{- $archive := .archive | default "" | b64dec -}}
{{- if and $archive (ne (sha256sum $archive) .digest) }}{{ include "resnet-train.wrong" (list $run "code-digest" (dict "got" .digest)) }}{{ end -}}
{{- if not (hasPrefix "gs://" $run.runDir) -}}
{{- if not $archive }}{{ include "resnet-train.wrong" (list $run "code-archive" dict) }}
{{- else if gt (len $archive) (int $run.jobset.code.largest) }}{{ include "resnet-train.wrong" (list $run "code-size" (dict "got" (div (len $archive) 1000))) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
