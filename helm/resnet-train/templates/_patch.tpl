{{- /* Strategic merge patch: (target, patch, name of their field, merge keys of lists) -> {"v": merged}. */ -}}
{{- define "resnet-train.merge" -}}
{{- $target := index . 0 -}}
{{- $patch := index . 1 -}}
{{- $keys := index . 3 -}}
{{- if and (kindIs "map" $target) (kindIs "map" $patch) (ne (get $patch "$patch" | toString) "replace") -}}
{{- $merged := merge dict $target -}}
{{- range $key, $value := omit $patch "$patch" -}}
{{- $directives := kindIs "map" $value | ternary $value dict -}}
{{- $deleted := or (kindIs "invalid" $value) (eq (get $directives "$patch" | toString) "delete") -}}
{{- if $deleted -}}
{{- $merged = omit $merged $key -}}
{{- else -}}
{{- $old := hasKey $merged $key | ternary (get $merged $key) nil -}}
{{- $_ := set $merged $key (include "resnet-train.merge" (list $old $value $key $keys) | fromJson).v -}}
{{- end -}}
{{- end -}}
{{- dict "v" $merged | toJson -}}
{{- else if and (kindIs "slice" $target) (kindIs "slice" $patch) (hasKey $keys (index . 2)) -}}
{{- include "resnet-train.mergeLists" (list $target $patch (get $keys (index . 2)) $keys) -}}
{{- else -}}
{{- include "resnet-train.plain" $patch -}}
{{- end -}}
{{- end -}}

{{- define "resnet-train.mergeLists" -}}
{{- $merged := index . 0 -}}
{{- $key := index . 2 -}}
{{- $keys := index . 3 -}}
{{- range $item := index . 1 -}}
{{- $named := and (kindIs "map" $item) (hasKey (kindIs "map" $item | ternary $item dict) $key) -}}
{{- $matched := false -}}
{{- $next := list -}}
{{- range $old := $merged -}}
{{- if and $named (not $matched) (kindIs "map" $old) (eq (get $old $key | toJson) (get $item $key | toJson)) -}}
{{- $matched = true -}}
{{- if ne (get $item "$patch" | toString) "delete" -}}
{{- $next = append $next (include "resnet-train.merge" (list $old $item "" $keys) | fromJson).v -}}
{{- end -}}
{{- else -}}
{{- $next = append $next $old -}}
{{- end -}}
{{- end -}}
{{- $merged = $matched | ternary $next (append $merged (include "resnet-train.plain" $item | fromJson).v) -}}
{{- end -}}
{{- dict "v" $merged | toJson -}}
{{- end -}}

{{- /* A patch for a field that did not exist: its value without directives and nulls. */ -}}
{{- define "resnet-train.plain" -}}
{{- $value := . -}}
{{- if kindIs "map" . -}}
{{- $value = dict -}}
{{- range $key, $entry := . -}}
{{- if not (or (eq $key "$patch") (kindIs "invalid" $entry)) -}}
{{- $_ := set $value $key (include "resnet-train.plain" $entry | fromJson).v -}}
{{- end -}}
{{- end -}}
{{- else if kindIs "slice" . -}}
{{- $value = list -}}
{{- range . }}{{ $value = append $value (include "resnet-train.plain" . | fromJson).v }}{{ end -}}
{{- end -}}
{{- dict "v" $value | toJson -}}
{{- end -}}
