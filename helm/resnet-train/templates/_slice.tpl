{{- /* Looks up the slice's name in files/slices.json: sets $run.slice or adds a problem. */ -}}
{{- define "resnet-train.slice" -}}
{{- $run := . -}}
{{- $form := "^([a-z0-9-]+?)[-:]([0-9]{1,9}(?:x[0-9]{1,9}){0,2})(-1)?$" -}}
{{- $got := $run.values.slice | default "" -}}
{{- $name := regexReplaceAll "-([0-9]+)-nolssd$" ($got | trim | lower) "-nolssd-${1}" -}}
{{- $prefix := regexReplaceAll $form $name "${1}" -}}
{{- $size := regexReplaceAll $form $name "${2}" -}}
{{- $single := regexReplaceAll $form $name "${3}" | eq "-1" -}}
{{- $generation := get $run.slices.aliases $prefix -}}
{{- $row := get $run.slices.generations $generation -}}
{{- $request := dict "run" $run "row" $row "got" $got "generation" $generation "size" $size "single" $single -}}
{{- if and $got $run.values.customSlice -}}
{{- include "resnet-train.customSlice" (dict "run" $run "got" $got "listed" $generation) -}}
{{- else if not $got -}}
{{- include "resnet-train.wrong" (list $run "slice-missing" dict) -}}
{{- else if eq $name "custom" -}}
{{- include "resnet-train.wrong" (list $run "slice-custom" dict) -}}
{{- else if hasPrefix "local-gpu" $name -}}
{{- include "resnet-train.wrong" (list $run "slice-local" (dict "got" $got)) -}}
{{- else if not (regexMatch $form $name) -}}
{{- include "resnet-train.wrong" (list $run "slice-unknown" (dict "got" $got)) -}}
{{- else if eq $prefix "cpu" -}}
{{- include "resnet-train.cpu" $request -}}
{{- else if not $row -}}
{{- include "resnet-train.wrong" (list $run "slice-unknown" (dict "got" $got)) -}}
{{- else -}}
{{- include (print "resnet-train." $row.kind) $request -}}
{{- end -}}
{{- end -}}

{{- /* A slice that the catalogue lacks, from its facts; the same arithmetic as that of the launcher. */ -}}
{{- define "resnet-train.customSlice" -}}
{{- $run := .run -}}
{{- $facts := $run.values.customSlice -}}
{{- $perHost := int $facts.chipsPerHost -}}
{{- $resource := $facts.resource | default (empty $facts.topology | ternary "nvidia.com/gpu" "google.com/tpu") -}}
{{- $tpu := eq $resource "google.com/tpu" -}}
{{- $chips := 1 -}}
{{- range splitList "x" ($facts.topology | default "0") }}{{ $chips = mul $chips (atoi .) }}{{ end -}}
{{- $hosts := $tpu | ternary (div $chips $perHost) ($facts.hosts | default 1 | int64) -}}
{{- $values := dict "chips" $chips "topology" $facts.topology "perHost" $perHost "resource" $resource "hosts" $hosts -}}
{{- if .listed -}}
{{- include "resnet-train.wrong" (list $run "custom-listed" (dict "got" .got)) -}}
{{- else if and $tpu (not $facts.topology) -}}
{{- include "resnet-train.wrong" (list $run "custom-lacks" dict) -}}
{{- else if and $facts.topology (not $tpu) -}}
{{- include "resnet-train.wrong" (list $run "custom-topology" (set $values "got" $facts.topology)) -}}
{{- else if and $tpu (ne 0 (mod $chips $perHost | int)) -}}
{{- $divisors := list -}}
{{- range list 1 2 4 8 }}{{ if eq 0 (mod $chips . | int) }}{{ $divisors = append $divisors . }}{{ end }}{{ end -}}
{{- include "resnet-train.wrong" (list $run "custom-chips" (merge $values (dict "largest" (last $divisors) "divisors" (join ", " $divisors)))) -}}
{{- else if and $facts.hosts (ne (int64 $facts.hosts) (int64 $hosts)) -}}
{{- include "resnet-train.wrong" (list $run "custom-hosts" (set $values "got" $facts.hosts)) -}}
{{- end -}}
{{- $selector := $tpu | ternary (dict "cloud.google.com/gke-tpu-accelerator" $facts.accelerator "cloud.google.com/gke-tpu-topology" $facts.topology) (dict "cloud.google.com/gke-accelerator" $facts.accelerator) -}}
{{- $tolerations := list (dict "key" $resource "operator" "Exists" "effect" "NoSchedule") -}}
{{- if eq ($facts.arch | default "") "arm64" -}}
{{- $tolerations = append $tolerations (dict "key" "kubernetes.io/arch" "operator" "Equal" "value" "arm64" "effect" "NoSchedule") -}}
{{- end -}}
{{- $row := dict "resource" $resource "selector" $selector "tolerations" $tolerations "flex" true "selectsMachine" true -}}
{{- $_ := set $row "machines" (dict (toString $perHost) ($facts.machine | default "")) -}}
{{- $slice := dict "name" .got "kind" ($tpu | ternary "tpu" "gpu") "generation" "custom" "row" $row "whole" true -}}
{{- $_ := merge $slice (dict "topology" $facts.topology "hosts" (max 1 $hosts) "perHost" $perHost) -}}
{{- $_ := set $run "slice" (set $slice "devicesPerHost" (mul $perHost ($facts.devicesPerChip | default 1 | int))) -}}
{{- end -}}

{{- define "resnet-train.cpu" -}}
{{- $sides := splitList "x" .size -}}
{{- $hosts := first $sides | atoi -}}
{{- $devices := last $sides | atoi -}}
{{- $limits := .run.slices -}}
{{- if or .single (ne (len $sides) 2) (lt $hosts 1) (lt $devices 1) (gt $hosts (int $limits.maxHosts)) (gt $devices (int $limits.maxCpuDevices)) -}}
{{- include "resnet-train.wrong" (list .run "slice-cpu" (dict "got" .got)) -}}
{{- else -}}
{{- $slice := dict "name" (printf "cpu-%dx%d" $hosts $devices) "kind" "cpu" "generation" "cpu" -}}
{{- $_ := set .run "slice" (merge $slice (dict "hosts" $hosts "perHost" $devices "devicesPerHost" $devices)) -}}
{{- end -}}
{{- end -}}

{{- define "resnet-train.gpu" -}}
{{- $host := int .row.host -}}
{{- $count := contains "x" .size | ternary 0 (regexFind "^[0-9]+" .size | atoi) -}}
{{- $perHost := or .single (lt $count $host) | ternary $count $host -}}
{{- $maxChips := .row.maxChips | default (mul .run.slices.maxHosts $perHost) | int -}}
{{- $listed := not .single -}}
{{- range .row.singles }}{{ if eq (int .) $count }}{{ $listed = true }}{{ end }}{{ end -}}
{{- if not $listed -}}
{{- include "resnet-train.wrong" (list .run (print "slice-single-" .generation) (dict "got" .got)) -}}
{{- else if or (not (hasKey .row.machines (toString $perHost))) (ne (mod $count (max 1 $perHost)) 0) (gt $count $maxChips) -}}
{{- include "resnet-train.wrong" (list .run (print "slice-gpu-" .generation) (dict "got" .got)) -}}
{{- else -}}
{{- $slice := dict "name" (printf "%s-%d%s" .generation $count (.single | ternary "-1" "")) "kind" "gpu" -}}
{{- $_ := merge $slice (dict "hosts" (div $count $perHost) "perHost" $perHost "devicesPerHost" $perHost) -}}
{{- $_ := merge $slice (dict "generation" .generation "row" .row "whole" (eq $perHost $host)) -}}
{{- $_ := set .run "slice" $slice -}}
{{- end -}}
{{- end -}}

{{- define "resnet-train.tpu" -}}
{{- $shape := contains "x" .size | ternary .size (get .row.sizes (regexReplaceAll "^0+" .size "")) -}}
{{- $sides := list -}}
{{- range splitList "x" $shape }}{{ $sides = append $sides (atoi .) }}{{ end -}}
{{- $chips := 1 -}}
{{- $cubes := and .row.cubes (eq (len $sides) 3) -}}
{{- $previous := 4 -}}
{{- range $sides -}}
{{- $chips = mul $chips . -}}
{{- if or (lt . (int $previous)) (ne (mod . 4) 0) (gt . 256) }}{{ $cubes = false }}{{ end -}}
{{- $previous = . -}}
{{- end -}}
{{- $listed := not .single -}}
{{- range .row.singles }}{{ if eq (int64 .) (int64 $chips) }}{{ $listed = true }}{{ end }}{{ end -}}
{{- if not $listed -}}
{{- include "resnet-train.wrong" (list .run (print "slice-single-" .generation) (dict "got" .got)) -}}
{{- else if and (contains "x" .size) (not (or (has $shape .row.shapes) (and $cubes (le (int $chips) (int .row.maxChips))))) -}}
{{- include "resnet-train.wrong" (list .run (print "slice-shape-" .generation) (dict "got" .got)) -}}
{{- else if not $shape -}}
{{- include "resnet-train.near" . -}}
{{- else -}}
{{- $count := mul $chips .row.unit | toString -}}
{{- $name := eq $shape (get .row.sizes $count) | ternary (print .generation "-" $count) (print .generation ":" $shape) -}}
{{- $perHost := .single | ternary $chips (min $chips .row.host) -}}
{{- $slice := dict "name" (print $name (.single | ternary "-1" "")) "kind" "tpu" "generation" .generation "row" .row -}}
{{- $_ := merge $slice (dict "topology" $shape "hosts" (div $chips $perHost) "perHost" $perHost) -}}
{{- $_ := set .run "slice" (set $slice "devicesPerHost" (mul $perHost .row.devicesPerChip)) -}}
{{- end -}}
{{- end -}}

{{- /* Names the nearest smaller and larger slice where a generation lacks this size. */ -}}
{{- define "resnet-train.near" -}}
{{- $size := atoi .size -}}
{{- $below := 0 -}}
{{- $above := 0 -}}
{{- range $count, $_ := .row.sizes -}}
{{- $listed := atoi $count -}}
{{- if and (lt $listed $size) (gt $listed (int $below)) }}{{ $below = $listed }}{{ end -}}
{{- if and (gt $listed $size) (or (not $above) (lt $listed (int $above))) }}{{ $above = $listed }}{{ end -}}
{{- end -}}
{{- $near := list -}}
{{- $row := .row -}}
{{- $generation := .generation -}}
{{- range list $below $above -}}
{{- if . }}{{ $near = append $near (printf "%s-%v (%v chips)" $generation . (div . $row.unit)) }}{{ end -}}
{{- end -}}
{{- $values := dict "near" (join " or " $near) "got" .got "size" .size "chips" (divf $size $row.unit) -}}
{{- include "resnet-train.wrong" (list .run (print "slice-" (empty $above | ternary "above-" "between-") $generation) $values) -}}
{{- end -}}
