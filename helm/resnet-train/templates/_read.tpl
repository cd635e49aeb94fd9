{{- /* Readers: each spelling of a value -> one form. Lists and maps are returned as JSON. */ -}}

{{- /* A string or a number as text: 1000000, not 1e+06. */ -}}
{{- define "resnet-train.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}

{{- /* 90, 90s, 10m, 2h or 7d -> seconds. */ -}}
{{- define "resnet-train.seconds" -}}
{{- $text := include "resnet-train.text" . -}}
{{- $unit := regexFind "[smhd]$" $text -}}
{{- mul (trimSuffix $unit $text | int64) (get (dict "" 1 "s" 1 "m" 60 "h" 3600 "d" 86400) $unit) -}}
{{- end -}}

{{- /* Seconds -> as they are typed, in the largest unit that divides them: 90s, 2h, 7d. */ -}}
{{- define "resnet-train.duration" -}}
{{- $seconds := . -}}
{{- $text := print $seconds "s" -}}
{{- range list (list "m" 60) (list "h" 3600) (list "d" 86400) -}}
{{- if and $seconds (eq 0 (mod $seconds (last .) | int)) }}{{ $text = print (div $seconds (last .)) (first .) }}{{ end -}}
{{- end -}}
{{- $text -}}
{{- end -}}

{{- /* A list of NAME=VALUE or a map -> {names, values}; the last value of a name wins, at its first position. */ -}}
{{- define "resnet-train.pairs" -}}
{{- $names := list -}}
{{- $values := dict -}}
{{- range $key, $entry := . -}}
{{- $name := kindIs "string" $key | ternary $key (regexFind "^[^=]*" (toString $entry)) -}}
{{- $text := include "resnet-train.text" $entry -}}
{{- if not (kindIs "string" $key) }}{{ $text = trimPrefix (print $name "=") $text }}{{ end -}}
{{- $names = append $names $name -}}
{{- $_ := set $values $name $text -}}
{{- end -}}
{{- dict "names" (uniq $names) "values" $values | toJson -}}
{{- end -}}

{{- /* A quantity -> its number: 500m -> 0.5, 16Gi -> 17179869184. */ -}}
{{- define "resnet-train.amount" -}}
{{- $text := include "resnet-train.text" . -}}
{{- $unit := regexFind "[a-zA-Z]+$" $text -}}
{{- $number := trimSuffix $unit $text | float64 -}}
{{- $factor := eq $unit "m" | ternary 0.001 1.0 -}}
{{- range $power, $letter := list "k" "M" "G" "T" "P" "E" -}}
{{- $thousand := hasSuffix "i" $unit | ternary 1024.0 1000.0 -}}
{{- if eq (trimSuffix "i" $unit | lower) (lower $letter) }}{{ if ne $unit "m" }}{{ range until (int (add 1 $power)) }}{{ $factor = mulf $factor $thousand }}{{ end }}{{ end }}{{ end -}}
{{- end -}}
{{- mulf $number $factor -}}
{{- end -}}

{{- /* Files of NAME=VALUE lines, as texts, become entries of env before those of the request. */ -}}
{{- define "resnet-train.envFiles" -}}
{{- $run := . -}}
{{- $v := .values -}}
{{- $entries := list -}}
{{- range kindIs "slice" $v.envFile | ternary $v.envFile (list $v.envFile) -}}
{{- range $number, $line := splitList "\n" (trimPrefix "\ufeff" .) -}}
{{- $entry := trimSuffix "\r" $line | trimAll " \t" -}}
{{- if not (or (eq $entry "") (hasPrefix "#" $entry)) -}}
{{- $entry = trimPrefix "export " $entry -}}
{{- $name := regexFind "^[^=]*" $entry | trim -}}
{{- $value := regexReplaceAll "^[^=]*=" $entry "" | trimAll " \t" -}}
{{- if regexMatch "^(\"[^\\n]*\"|'[^\\n]*')$" $value }}{{ $value = substr 1 (sub (len $value) 1 | int) $value }}{{ end -}}
{{- $reason := contains "=" $entry | ternary "a name that no variable has" "a line without =" -}}
{{- if and (contains "=" $entry) (regexMatch "^[A-Za-z_][A-Za-z0-9_]*$" $name) -}}
{{- $entries = append $entries (print $name "=" $value) -}}
{{- else -}}
{{- include "resnet-train.wrong" (list $run "env-file" (dict "reason" $reason "line" (add $number 1))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $pairs := include "resnet-train.pairs" $v.env | fromJson -}}
{{- range $pairs.names }}{{ $entries = append $entries (print . "=" (get $pairs.values .)) }}{{ end -}}
{{- $_ := set $v "env" $entries -}}
{{- end -}}

{{- /* gs://BUCKET/PREFIX or BUCKET/PREFIX -> gs://BUCKET/PREFIX without a slash at the end. */ -}}
{{- define "resnet-train.bucket" -}}
gs://{{ trimPrefix "gs://" . | trimAll "/" }}
{{- end -}}

{{- /* KEY[=VALUE][:EFFECT] -> a toleration. */ -}}
{{- define "resnet-train.toleration" -}}
{{- $effect := regexFind ":[A-Za-z]+$" . -}}
{{- $pair := trimSuffix $effect . -}}
{{- $toleration := dict "key" (regexFind "^[^=]*" $pair) "operator" "Exists" -}}
{{- if contains "=" $pair -}}
{{- $_ := set (set $toleration "operator" "Equal") "value" (regexReplaceAll "^[^=]*=" $pair "") -}}
{{- end -}}
{{- if $effect }}{{ $_ := set $toleration "effect" (trimPrefix ":" $effect) }}{{ end -}}
{{- toJson $toleration -}}
{{- end -}}

{{- /* SOURCE:PATH[:ro] -> {kind, name, path, readOnly}. */ -}}
{{- define "resnet-train.mount" -}}
{{- $form := "^(pvc|gcs|host|ssd)(?:/([^:]*))?:(/[^:]*?)/*(:ro)?$" -}}
{{- $mount := dict "kind" (regexReplaceAll $form . "${1}") "name" (regexReplaceAll $form . "${2}" | trimAll "/") -}}
{{- $_ := set $mount "path" (regexReplaceAll $form . "${3}") -}}
{{- set $mount "readOnly" (hasSuffix ":ro" .) | toJson -}}
{{- end -}}

{{- /* Copies every entry of the second map into the first, empty ones too. */ -}}
{{- define "resnet-train.put" -}}
{{- $target := index . 0 -}}
{{- range $key, $value := index . 1 }}{{ $_ := set $target $key $value }}{{ end -}}
{{- end -}}
