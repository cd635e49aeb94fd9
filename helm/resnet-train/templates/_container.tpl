{{- /* Adds the request's flags, settings and arguments to the trainer's command, or replaces it by a program. */ -}}
{{- define "resnet-train.command" -}}
{{- $command := .container.command -}}
{{- $v := .values -}}
{{- if $v.command -}}
{{- $command = .program.prefix -}}
{{- range $v.command }}{{ $command = append $command (include "resnet-train.text" .) }}{{ end -}}
{{- if $v.workdir }}{{ $_ := set .container "workingDir" (regexReplaceAll "/+$" $v.workdir "" | default "/") }}{{ end -}}
{{- with .program.ports }}{{ $_ := set $.container "ports" . }}{{ end -}}
{{- else -}}
{{- range $flag := list "recipe" "data" "batch" "epochs" "steps" "seed" -}}
{{- if hasKey $v $flag }}{{ $command = concat $command (list (print "--" $flag) (include "resnet-train.text" (get $v $flag))) }}{{ end -}}
{{- end -}}
{{- $settings := and (gt (int .hosts) 1) (not .kept) | ternary (list "checkpoint.enabled=false") list -}}
{{- range concat $settings ($v.set | default list) }}{{ $command = concat $command (list "--set" .) }}{{ end -}}
{{- range $v.args }}{{ $command = append $command (include "resnet-train.text" .) }}{{ end -}}
{{- end -}}
{{- $_ := set .container "command" $command -}}
{{- end -}}

{{- /* Sets the environment: the request's variables win, and a replaced variable keeps its position. */ -}}
{{- define "resnet-train.env" -}}
{{- $run := . -}}
{{- $order := list -}}
{{- $entries := dict -}}
{{- range concat .container.env (.program.env | default list) -}}
{{- if not (and (eq .name "LD_LIBRARY_PATH") (not $run.gke)) -}}
{{- $order = append $order .name -}}
{{- $_ := set $entries .name . -}}
{{- end -}}
{{- end -}}
{{- if hasPrefix .jobset.amd ($run.values.gpuResource | default "") -}}
{{- $_ := set $entries "JAX_PLATFORMS" (dict "name" "JAX_PLATFORMS" "value" .jobset.rocm) -}}
{{- end -}}
{{- if .tuned -}}
{{- $order = append $order .jobset.tuning.variable -}}
{{- $arguments := concat (get .jobset.tuning.arguments "") (get .jobset.tuning.arguments .slice.generation | default list) -}}
{{- $_ := set $entries .jobset.tuning.variable (dict "name" .jobset.tuning.variable "value" (join " " $arguments)) -}}
{{- end -}}
{{- $owner := include "resnet-train.fill" (list $run $run.policy.owner) | fromJson -}}
{{- if $owner.value }}{{ $_ := set $owner "value" (print (.values.namespace | default .root.Release.Namespace) "/" .name) }}{{ end -}}
{{- $_ := set $entries $owner.name $owner -}}
{{- with .values.notify -}}
{{- $names := $run.jobset.notify -}}
{{- $order = concat $order (list $names.restarts $names.url) -}}
{{- $_ := set $entries $names.restarts (dict "name" $names.restarts "value" (toString (int $run.values.maxRestarts))) -}}
{{- $path := splitList "/" . -}}
{{- $_ := set $entries $names.url (dict "name" $names.url "valueFrom" (dict "secretKeyRef" (dict "name" (first $path) "key" (last $path)))) -}}
{{- end -}}
{{- $variables := include "resnet-train.pairs" .values.env | fromJson -}}
{{- range $variables.names -}}
{{- $_ := set $entries . (dict "name" . "value" (get $variables.values .)) -}}
{{- end -}}
{{- $secrets := include "resnet-train.pairs" .values.secretEnv | fromJson -}}
{{- range $secrets.names -}}
{{- $path := splitList "/" (get $secrets.values .) -}}
{{- $key := dict "name" (first $path) "key" (last $path) -}}
{{- $_ := set $entries . (dict "name" . "valueFrom" (dict "secretKeyRef" $key)) -}}
{{- end -}}
{{- $env := list -}}
{{- range concat $order $variables.names $secrets.names | uniq }}{{ $env = append $env (get $entries .) }}{{ end -}}
{{- $_ := set .container "env" $env -}}
{{- end -}}

{{- define "resnet-train.resources" -}}
{{- $v := .values -}}
{{- $limits := dict -}}
{{- if .slice.row -}}
{{- $_ := set $limits (eq .slice.kind "gpu" | ternary ($v.gpuResource | default .slice.row.resource) .slice.row.resource) (int .slice.perHost) -}}
{{- end -}}
{{- $pages := false -}}
{{- range $name, $amount := .fabricResources -}}
{{- $_ := set $limits $name $amount -}}
{{- if hasPrefix "hugepages-" $name }}{{ $pages = true }}{{ end -}}
{{- end -}}
{{- $requests := merge dict $limits (pick .container.resources.requests "cpu") -}}
{{- if and $pages (not (or $v.memory $v.memoryLimit)) }}{{ $_ := set $requests "cpu" .jobset.cpuRequest }}{{ end -}}
{{- $disk := list "ephemeral-storage" $v.ephemeralStorage $v.ephemeralStorage -}}
{{- range list (list "memory" ($v.memory | default $v.memoryLimit) ($v.memoryLimit | default $v.memory)) (list "cpu" ($v.cpu | default $v.cpuLimit) $v.cpuLimit) $disk -}}
{{- if index . 1 }}{{ $_ := set $requests (index . 0) (include "resnet-train.text" (index . 1)) }}{{ end -}}
{{- if index . 2 }}{{ $_ := set $limits (index . 0) (include "resnet-train.text" (index . 2)) }}{{ end -}}
{{- end -}}
{{- $resources := dict -}}
{{- if $requests }}{{ $_ := set $resources "requests" $requests }}{{ end -}}
{{- if $limits }}{{ $_ := set $resources "limits" $limits }}{{ end -}}
{{- $_ := set .container "resources" $resources -}}
{{- if $v.imagePullPolicy }}{{ $_ := set .container "imagePullPolicy" $v.imagePullPolicy }}{{ end -}}
{{- end -}}
