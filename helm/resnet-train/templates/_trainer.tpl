{{- /* What the trainer would refuse, refused before it is sent (files/trainer.json). */ -}}

{{- define "resnet-train.stepsRule" -}}
{{- $run := . -}}
{{- $v := .values -}}
{{- if and $v.steps $v.epochs -}}
{{- $epochs := include "resnet-train.text" $v.epochs -}}
{{- include "resnet-train.wrong" (list . "steps" (dict "steps" (include "resnet-train.text" $v.steps) "epochs" $epochs)) -}}
{{- end -}}
{{- range $v.set }}{{ include "resnet-train.setting" (list $run .) }}{{ end -}}
{{- $flag := "" -}}
{{- range $v.args -}}
{{- $word := include "resnet-train.text" . -}}
{{- if $flag -}}
{{- if eq $flag "--set" }}{{ include "resnet-train.setting" (list $run $word) }}{{ end -}}
{{- $flag = "" -}}
{{- else if has $word $run.trainer.flags -}}
{{- $flag = $word -}}
{{- else -}}
{{- include "resnet-train.wrong" (list $run "args" (dict "got" $word)) -}}
{{- end -}}
{{- end -}}
{{- if $flag }}{{ include "resnet-train.wrong" (list . "args-value" (dict "flag" $flag)) }}{{ end -}}
{{- end -}}

{{- /* section.field=value: a field the trainer has, a value that the field can hold. */ -}}
{{- define "resnet-train.setting" -}}
{{- $run := index . 0 -}}
{{- $given := index . 1 -}}
{{- $field := regexFind "^[^=]*" $given -}}
{{- $value := regexReplaceAll "^[^=]*=?" $given "" -}}
{{- $row := get $run.trainer.fields $field -}}
{{- $words := dict "field" $field "got" $value -}}
{{- if not (contains "=" $given) -}}
{{- include "resnet-train.wrong" (list $run "set-form" (dict "got" $given)) -}}
{{- else if not $row -}}
{{- include "resnet-train.wrong" (list $run "set-field" $words) -}}
{{- else if not (regexMatch (get $run.trainer.forms $row.type) $value) -}}
{{- include "resnet-train.wrong" (list $run (print "set-" $row.type) $words) -}}
{{- else if and $row.paths (contains "/" $value) -}}
{{- if or (contains ".." $value) (not (regexMatch (get $run.trainer.forms "path") $value)) -}}
{{- include "resnet-train.wrong" (list $run "set-path" $words) -}}
{{- end -}}
{{- else if and $row.choices (not (has $value $row.choices)) -}}
{{- include "resnet-train.wrong" (list $run "set-choices" (set $words "choices" (join ", " $row.choices))) -}}
{{- else if and (hasKey $row "minimum") (lt (float64 $value) (float64 $row.minimum)) -}}
{{- include "resnet-train.wrong" (list $run (print "set-minimum-" $row.type) (set $words "minimum" $row.minimum)) -}}
{{- else if and (hasKey $row "maximum") (gt (float64 $value) (float64 $row.maximum)) -}}
{{- include "resnet-train.wrong" (list $run (print "set-maximum-" $row.type) (set $words "maximum" $row.maximum)) -}}
{{- end -}}
{{- end -}}

{{- /* Every global batch that the request names is divided over all devices. */ -}}
{{- define "resnet-train.batchRule" -}}
{{- $run := . -}}
{{- $found := list -}}
{{- with .values.batch }}{{ $found = append $found (include "resnet-train.text" .) }}{{ end -}}
{{- $flag := "" -}}
{{- range concat (.values.set | default list) (.values.args | default list) -}}
{{- $word := include "resnet-train.text" . -}}
{{- if hasPrefix "train.batch=" $word }}{{ $found = append $found (trimPrefix "train.batch=" $word) }}{{ end -}}
{{- if eq $flag "--batch" }}{{ $found = append $found $word }}{{ end -}}
{{- $flag = $word -}}
{{- end -}}
{{- range $found | uniq -}}
{{- $batch := int64 . -}}
{{- $rest := mod $batch $run.devices -}}
{{- if $rest -}}
{{- $below := sub $batch $rest -}}
{{- $near := empty $below | ternary (toString $run.devices) (print $below " or " (add $below $run.devices)) -}}
{{- include "resnet-train.wrong" (list $run "batch" (dict "devices" $run.devices "got" $batch "near" $near)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
