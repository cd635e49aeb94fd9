{{- /* Resolves the request: everything that follows from its values is set in $run. */ -}}
{{- define "resnet-train.resolve" -}}
{{- $run := . -}}
{{- $v := .values -}}
{{- range list "slices" "jobset" "words" "trainer" -}}
{{- $_ := set $run . ($run.root.Files.Get (printf "files/%s.json" .) | fromJson) -}}
{{- end -}}
{{- $_ := set $run "problems" list -}}
{{- if $v.envFile }}{{ include "resnet-train.envFiles" $run }}{{ end -}}
{{- include "resnet-train.slice" $run -}}
{{- if not (or $v.arch $v.command) }}{{ include "resnet-train.wrong" (list $run "arch-missing" dict) }}{{ end -}}
{{- if not $run.problems -}}
{{- $slice := $run.slice -}}
{{- $count := $v.numSlices | int -}}
{{- $_ := set $run "name" ($v.name | default $run.root.Release.Name) -}}
{{- $_ := set $run "numSlices" $count -}}
{{- $_ := set $run "hosts" (mul $count $slice.hosts) -}}
{{- $_ := set $run "devices" (mul $count $slice.hosts $slice.devicesPerHost) -}}
{{- $_ := set $run "gke" (eq $v.platform "gke") -}}
{{- $_ := set $run "image" ($v.image | default (get $run.jobset.images $slice.kind)) -}}
{{- $_ := set $run "flex" (include "resnet-train.seconds" ($v.flex | default 0) | int64) -}}
{{- $_ := set $run "deadline" (include "resnet-train.seconds" ($v.deadline | default 0) | int64) -}}
{{- $grace := $v.spot | ternary $run.jobset.spotGrace $run.jobset.grace -}}
{{- $_ := set $run "grace" (include "resnet-train.seconds" (hasKey $v "grace" | ternary $v.grace $grace) | int64) -}}
{{- $_ := set $run "mounts" list -}}
{{- range $v.mount }}{{ $_ := set $run "mounts" (append $run.mounts (include "resnet-train.mount" . | fromJson)) }}{{ end -}}
{{- include "resnet-train.directory" $run -}}
{{- $_ := set $run "tuned" (and (eq $v.tuning "published") (eq $slice.kind "tpu") (gt $count 1)) -}}
{{- include "resnet-train.fabric" $run -}}
{{- include "resnet-train.policy" $run -}}
{{- if $v.exitCodes }}{{ include "resnet-train.exitCodes" $run }}{{ end -}}
{{- $_ := set $run "program" dict -}}
{{- if $v.command -}}
{{- $_ := set $run "program" (include "resnet-train.fill" (list $run (index .jobset.programs $slice.kind (gt $count 1 | ternary 1 0))) | fromJson) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "resnet-train.directory" -}}
{{- $v := .values -}}
{{- $parent := $v.bucket | default "/scratch" -}}
{{- if $v.bucket }}{{ $parent = include "resnet-train.bucket" $v.bucket }}{{ end -}}
{{- $directory := $v.runDir | default (print $parent "/" .name) -}}
{{- if hasPrefix "gs://" $directory }}{{ $directory = include "resnet-train.bucket" $directory }}{{ end -}}
{{- $_ := set . "runDir" (regexReplaceAll "/+$" $directory "" | default "/") -}}
{{- $_ := set . "kept" (not (hasPrefix "/scratch/" .runDir)) -}}
{{- end -}}

{{- /* A version as a number: v0.11.0 -> 11, 1.2 -> 1002. */ -}}
{{- define "resnet-train.version" -}}
{{- $form := "^v?0*([0-9]+)[.]0*([0-9]+).*$" -}}
{{- add (mul 1000 (regexReplaceAll $form . "${1}" | int)) (regexReplaceAll $form . "${2}" | int) -}}
{{- end -}}

{{- /* Failure policies for the cluster's version of JobSet, by default the newest. */ -}}
{{- define "resnet-train.policy" -}}
{{- $run := . -}}
{{- $number := include "resnet-train.version" (.values.jobsetVersion | default "999.0") -}}
{{- range .jobset.policies -}}
{{- if le (int .minor) (int $number) }}{{ $_ := set $run "policy" . }}{{ end -}}
{{- end -}}
{{- end -}}

{{- /* Replaces the placeholders of files/*.json by this run's values. */ -}}
{{- define "resnet-train.fill" -}}
{{- $run := index . 0 -}}
{{- $text := index . 1 | toJson | replace "{name}" $run.name -}}
{{- $numbers := dict "hosts" $run.hosts "devices" $run.devices "numSlices" $run.numSlices "grace" $run.grace -}}
{{- $_ := merge $numbers (dict "hostsPerSlice" $run.slice.hosts "chipsPerHost" $run.slice.perHost) -}}
{{- $_ := set $numbers "maxRestarts" (int $run.values.maxRestarts) -}}
{{- range $key, $number := $numbers -}}
{{- $text = replace (printf "\"{%s}\"" $key) (toString $number) $text | replace (printf "{%s:text}" $key) (toString $number) -}}
{{- end -}}
{{- $text = replace "{localDevices}" (until (int $run.slice.devicesPerHost) | join ",") $text -}}
{{- $names := dict "slice" $run.slice.name "topology" $run.slice.topology "arch" $run.values.arch -}}
{{- range $key, $name := merge $names (dict "runDir" $run.runDir "image" $run.image) -}}
{{- $text = replace (printf "\"{%s}\"" $key) (toJson $name) $text -}}
{{- end -}}
{{- $text -}}
{{- end -}}
