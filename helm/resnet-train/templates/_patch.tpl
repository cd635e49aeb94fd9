{{- /* A strategic merge patch: (target, patch, the field both stand in, the keys of lists) -> {"v": merged}. */ -}}
{{- define "resnet-train.merge" -}}
{{- $target := index . 0 -}}
{{- $patch := index . 1 -}}
{{- $keys := index . 3 -}}
{{- if and (kindIs "map" $target) (kindIs "map" $patch) (ne (get $patch "$patch" | toString) "replace") -}}
{{- $merged := merge dict $target -}}
{{- range $key, $value := omit $patch "$patch" -}}
{{- $order := kindIs "map" $value | ternary $value dict -}}
{{- $gone := or (kindIs "invalid" $value) (eq (get $order "$patch" | toString) "delete") -}}
{{- if $gone -}}
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
{{- $found := false -}}
{{- $next := list -}}
{{- range $old := $merged -}}
{{- if and $named (not $found) (kindIs "map" $old) (eq (get $old $key | toJson) (get $item $key | toJson)) -}}
{{- $found = true -}}
{{- if ne (get $item "$patch" | toString) "delete" -}}
{{- $next = append $next (include "resnet-train.merge" (list $old $item "" $keys) | fromJson).v -}}
{{- end -}}
{{- else -}}
{{- $next = append $next $old -}}
{{- end -}}
{{- end -}}
{{- $merged = $found | ternary $next (append $merged (include "resnet-train.plain" $item | fromJson).v) -}}
{{- end -}}
{{- dict "v" $merged | toJson -}}
{{- end -}}

{{- /* A patch where nothing was: without its directives and nulls. */ -}}
{{- define "resnet-train.plain" -}}
{{- $found := . -}}
{{- if kindIs "map" . -}}
{{- $found = dict -}}
{{- range $key, $value := . -}}
{{- if not (or (eq $key "$patch") (kindIs "invalid" $value)) -}}
{{- $_ := set $found $key (include "resnet-train.plain" $value | fromJson).v -}}
{{- end -}}
{{- end -}}
{{- else if kindIs "slice" . -}}
{{- $found = list -}}
{{- range . }}{{ $found = append $found (include "resnet-train.plain" . | fromJson).v }}{{ end -}}
{{- end -}}
{{- dict "v" $found | toJson -}}
{{- end -}}
