{{- /* The network between GPU hosts: sets $run.fabric, $run.network and $run.fabricResources. */ -}}
{{- define "resnet-train.fabric" -}}
{{- $run := . -}}
{{- $slice := .slice -}}
{{- $choice := toString .values.fabric -}}
{{- $choice = get (dict "true" "auto" "false" "none") $choice | default $choice -}}
{{- $_ := set . "fabric" $choice -}}
{{- $_ := set . "network" dict -}}
{{- $_ := set . "fabricResources" dict -}}
{{- $_ := set . "elsewhere" (hasKey .jobset.fabrics $choice) -}}
{{- if and (eq $slice.kind "gpu") (gt (int .hosts) 1) -}}
{{- $row := $slice.row -}}
{{- if .elsewhere -}}
{{- $entry := get .jobset.fabrics $choice -}}
{{- $_ := set . "network" (merge (dict "named" true) (get $entry "network")) -}}
{{- include "resnet-train.fabricResources" (list $run $entry) -}}
{{- if $row.domain }}{{ $_ := set . "network" (merge (dict) $row.domain .network) }}{{ end -}}
{{- else if and .gke $slice.whole (eq $choice "auto") -}}
{{- $_ := set . "network" ($row.fabric | default dict) -}}
{{- else if and .gke $slice.whole (eq $choice "dranet") -}}
{{- $_ := set . "network" ($row.claimed | default dict) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* (run, entry of files/jobset.json): sets resources of each host; null where the number is not known. */ -}}
{{- define "resnet-train.fabricResources" -}}
{{- $run := index . 0 -}}
{{- $own := include "resnet-train.pairs" $run.values.fabricResource | fromJson -}}
{{- $replaced := false -}}
{{- range $own.names }}{{ if not (hasPrefix "hugepages-" .) }}{{ $replaced = true }}{{ end }}{{ end -}}
{{- range $name, $amount := (index . 1).resources -}}
{{- $pages := hasPrefix "hugepages-" $name -}}
{{- if kindIs "map" $amount -}}
{{- $amount = $run.slice.whole | ternary (get $amount $run.slice.generation) "" | default nil -}}
{{- end -}}
{{- if or $pages (not $replaced) }}{{ $_ := set $run.fabricResources $name $amount }}{{ end -}}
{{- end -}}
{{- range $own.names -}}
{{- $amount := get $own.values . -}}
{{- $_ := set $run.fabricResources . (hasPrefix "hugepages-" . | ternary $amount (atoi $amount)) -}}
{{- end -}}
{{- end -}}

{{- define "resnet-train.fabricRule" -}}
{{- $run := . -}}
{{- $words := dict "got" .fabric "slice" .slice.name -}}
{{- if and .values.fabricResource (not .elsewhere) }}{{ include "resnet-train.wrong" (list . "fabric-resource" $words) }}{{ end -}}
{{- if has .fabric (list "auto" "none") -}}
{{- else if ne .slice.kind "gpu" -}}
{{- include "resnet-train.wrong" (list . "fabric-no-gpu" $words) -}}
{{- else if eq .fabric "dranet" -}}
{{- $own := .slice.whole | ternary .slice.row.fabricName "" | default "no fabric" -}}
{{- if not .gke }}{{ include "resnet-train.wrong" (list . "fabric-generic" $words) }}
{{- else if not (has $own .jobset.claimedFabrics) }}{{ include "resnet-train.wrong" (list . "fabric-dranet" (set $words "own" $own)) }}{{ end -}}
{{- else if .gke -}}
{{- include "resnet-train.wrong" (list . "fabric-gke" $words) -}}
{{- else if gt (int .hosts) 1 -}}
{{- $unknown := "" -}}
{{- range $name, $amount := .fabricResources }}{{ if empty $amount }}{{ $unknown = $name }}{{ end }}{{ end -}}
{{- if $unknown }}{{ include "resnet-train.wrong" (list . "fabric-number" (set $words "resource" $unknown)) }}
{{- else if not .fabricResources }}{{ include "resnet-train.wrong" (list . "fabric-name" $words) }}{{ end -}}
{{- end -}}
{{- end -}}
