{{- /* The slice of a name, from files/slices.json: sets $run.slice, or adds a problem. */ -}}
{{- define "resnet-train.slice" -}}
{{- $run := . -}}
{{- $form := "^([a-z0-9-]+?)[-:]([0-9]{1,9}(?:x[0-9]{1,9}){0,2})(-1)?$" -}}
{{- $given := $run.values.slice | default "" -}}
{{- $name := $given | trim | lower -}}
{{- $word := regexReplaceAll $form $name "${1}" -}}
{{- $size := regexReplaceAll $form $name "${2}" -}}
{{- $single := regexReplaceAll $form $name "${3}" | eq "-1" -}}
{{- $generation := get $run.slices.aliases $word -}}
{{- $row := get $run.slices.generations $generation -}}
{{- $ask := dict "run" $run "row" $row "given" $given "generation" $generation "size" $size "single" $single -}}
{{- if not $given -}}
{{- include "resnet-train.wrong" (list $run "slice-missing" dict) -}}
{{- else if hasPrefix "local-gpu" $name -}}
{{- include "resnet-train.wrong" (list $run "slice-local" (dict "got" $given)) -}}
{{- else if not (regexMatch $form $name) -}}
{{- include "resnet-train.wrong" (list $run "slice-unknown" (dict "got" $given)) -}}
{{- else if eq $word "cpu" -}}
{{- include "resnet-train.cpu" $ask -}}
{{- else if not $row -}}
{{- include "resnet-train.wrong" (list $run "slice-unknown" (dict "got" $given)) -}}
{{- else -}}
{{- include (print "resnet-train." $row.kind) $ask -}}
{{- end -}}
{{- end -}}

{{- define "resnet-train.cpu" -}}
{{- $sides := splitList "x" .size -}}
{{- $hosts := first $sides | atoi -}}
{{- $devices := last $sides | atoi -}}
{{- $most := .run.slices -}}
{{- if or .single (ne (len $sides) 2) (lt $hosts 1) (lt $devices 1) (gt $hosts (int $most.maxHosts)) (gt $devices (int $most.maxCpuDevices)) -}}
{{- include "resnet-train.wrong" (list .run "slice-cpu" (dict "got" .given)) -}}
{{- else -}}
{{- $found := dict "name" (printf "cpu-%dx%d" $hosts $devices) "kind" "cpu" "generation" "cpu" -}}
{{- $_ := set .run "slice" (merge $found (dict "hosts" $hosts "perHost" $devices "devicesPerHost" $devices)) -}}
{{- end -}}
{{- end -}}

{{- define "resnet-train.gpu" -}}
{{- $host := int .row.host -}}
{{- $count := contains "x" .size | ternary 0 (regexFind "^[0-9]+" .size | atoi) -}}
{{- $perHost := or .single (lt $count $host) | ternary $count $host -}}
{{- $most := .row.maxChips | default (mul .run.slices.maxHosts $perHost) | int -}}
{{- $listed := not .single -}}
{{- range .row.singles }}{{ if eq (int .) $count }}{{ $listed = true }}{{ end }}{{ end -}}
{{- if not $listed -}}
{{- include "resnet-train.wrong" (list .run (print "slice-single-" .generation) (dict "got" .given)) -}}
{{- else if or (not (hasKey .row.machines (toString $perHost))) (ne (mod $count (max 1 $perHost)) 0) (gt $count $most) -}}
{{- include "resnet-train.wrong" (list .run (print "slice-gpu-" .generation) (dict "got" .given)) -}}
{{- else -}}
{{- $found := dict "name" (printf "%s-%d%s" .generation $count (.single | ternary "-1" "")) "kind" "gpu" -}}
{{- $_ := merge $found (dict "hosts" (div $count $perHost) "perHost" $perHost "devicesPerHost" $perHost) -}}
{{- $_ := merge $found (dict "generation" .generation "row" .row "whole" (eq $perHost $host)) -}}
{{- $_ := set .run "slice" $found -}}
{{- end -}}
{{- end -}}

{{- define "resnet-train.tpu" -}}
{{- $shape := contains "x" .size | ternary .size (get .row.sizes (regexReplaceAll "^0+" .size "")) -}}
{{- $sides := list -}}
{{- range splitList "x" $shape }}{{ $sides = append $sides (atoi .) }}{{ end -}}
{{- $chips := 1 -}}
{{- $cubes := and .row.cubes (eq (len $sides) 3) -}}
{{- $before := 4 -}}
{{- range $sides -}}
{{- $chips = mul $chips . -}}
{{- if or (lt . (int $before)) (ne (mod . 4) 0) (gt . 256) }}{{ $cubes = false }}{{ end -}}
{{- $before = . -}}
{{- end -}}
{{- $listed := not .single -}}
{{- range .row.singles }}{{ if eq (int64 .) (int64 $chips) }}{{ $listed = true }}{{ end }}{{ end -}}
{{- if not $listed -}}
{{- include "resnet-train.wrong" (list .run (print "slice-single-" .generation) (dict "got" .given)) -}}
{{- else if and (contains "x" .size) (not (or (has $shape .row.shapes) (and $cubes (le (int $chips) (int .row.maxChips))))) -}}
{{- include "resnet-train.wrong" (list .run (print "slice-shape-" .generation) (dict "got" .given)) -}}
{{- else if not $shape -}}
{{- include "resnet-train.near" . -}}
{{- else -}}
{{- $count := mul $chips .row.unit | toString -}}
{{- $name := eq $shape (get .row.sizes $count) | ternary (print .generation "-" $count) (print .generation ":" $shape) -}}
{{- $perHost := .single | ternary $chips (min $chips .row.host) -}}
{{- $found := dict "name" (print $name (.single | ternary "-1" "")) "kind" "tpu" "generation" .generation "row" .row -}}
{{- $_ := merge $found (dict "topology" $shape "hosts" (div $chips $perHost) "perHost" $perHost) -}}
{{- $_ := set .run "slice" (set $found "devicesPerHost" (mul $perHost .row.devicesPerChip)) -}}
{{- end -}}
{{- end -}}

{{- /* The sizes below and above one that a generation has not. */ -}}
{{- define "resnet-train.near" -}}
{{- $size := atoi .size -}}
{{- $below := 0 -}}
{{- $above := 0 -}}
{{- range $count, $_ := .row.sizes -}}
{{- $found := atoi $count -}}
{{- if and (lt $found $size) (gt $found (int $below)) }}{{ $below = $found }}{{ end -}}
{{- if and (gt $found $size) (or (not $above) (lt $found (int $above))) }}{{ $above = $found }}{{ end -}}
{{- end -}}
{{- $near := list -}}
{{- $row := .row -}}
{{- $generation := .generation -}}
{{- range list $below $above -}}
{{- if . }}{{ $near = append $near (printf "%s-%v (%v chips)" $generation . (div . $row.unit)) }}{{ end -}}
{{- end -}}
{{- $words := dict "near" (join " or " $near) "got" .given "size" .size "chips" (divf $size $row.unit) -}}
{{- include "resnet-train.wrong" (list .run (print "slice-" (empty $above | ternary "above-" "between-") $generation) $words) -}}
{{- end -}}
