{{- /* Rules of the trainer, checked before anything is installed (files/trainer.json). */ -}}

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
{{- $argument := include "resnet-train.text" . -}}
{{- if $flag -}}
{{- if eq $flag "--set" }}{{ include "resnet-train.setting" (list $run $argument) }}{{ end -}}
{{- $flag = "" -}}
{{- else if hasKey $run.trainer.flags $argument -}}
{{- $flag = $argument -}}
{{- else -}}
{{- include "resnet-train.wrong" (list $run "args" (dict "got" $argument)) -}}
{{- end -}}
{{- end -}}
{{- if $flag }}{{ include "resnet-train.wrong" (list . "args-value" (dict "flag" $flag)) }}{{ end -}}
{{- end -}}

{{- /* Checks section.field=value: the field must exist and accept the value. */ -}}
{{- define "resnet-train.setting" -}}
{{- $run := index . 0 -}}
{{- $setting := index . 1 -}}
{{- $field := regexFind "^[^=]*" $setting -}}
{{- $value := regexReplaceAll "^[^=]*=?" $setting "" -}}
{{- $row := get $run.trainer.fields $field -}}
{{- $values := dict "field" $field "got" $value -}}
{{- if not (contains "=" $setting) -}}
{{- include "resnet-train.wrong" (list $run "set-form" (dict "got" $setting)) -}}
{{- else if not $row -}}
{{- include "resnet-train.wrong" (list $run "set-field" $values) -}}
{{- else if not (regexMatch (get $run.trainer.forms $row.type) $value) -}}
{{- include "resnet-train.wrong" (list $run (print "set-" $row.type) $values) -}}
{{- else if and $row.paths (contains "/" $value) -}}
{{- if or (contains ".." $value) (not (regexMatch (get $run.trainer.forms "path") $value)) -}}
{{- include "resnet-train.wrong" (list $run "set-path" $values) -}}
{{- end -}}
{{- else if and $row.code (regexMatch $run.trainer.forms.code $value) -}}
{{- else if and $row.choices (not (has $value $row.choices)) -}}
{{- include "resnet-train.wrong" (list $run "set-choices" (set $values "choices" (join ", " $row.choices))) -}}
{{- else if and (hasKey $row "minimum") (lt (float64 $value) (float64 $row.minimum)) -}}
{{- include "resnet-train.wrong" (list $run (print "set-minimum-" $row.type) (set $values "minimum" $row.minimum)) -}}
{{- else if and (hasKey $row "maximum") (gt (float64 $value) (float64 $row.maximum)) -}}
{{- include "resnet-train.wrong" (list $run (print "set-maximum-" $row.type) (set $values "maximum" $row.maximum)) -}}
{{- end -}}
{{- end -}}

{{- /* Settings that the request names, as JSON: the last of a flag or setting wins, and --set over flags. */ -}}
{{- define "resnet-train.requested" -}}
{{- $run := . -}}
{{- $flags := dict -}}
{{- $sets := dict -}}
{{- range $name := list "data" "batch" "epochs" "steps" "seed" -}}
{{- if hasKey $run.values $name -}}
{{- $_ := set $flags (get $run.trainer.flags (print "--" $name)) (include "resnet-train.text" (get $run.values $name)) -}}
{{- end -}}
{{- end -}}
{{- range .values.set }}{{ $_ := set $sets (regexFind "^[^=]*" .) (regexReplaceAll "^[^=]*=?" . "") }}{{ end -}}
{{- $flag := "" -}}
{{- range .values.args -}}
{{- $argument := include "resnet-train.text" . -}}
{{- if eq $flag "--set" -}}
{{- $_ := set $sets (regexFind "^[^=]*" $argument) (regexReplaceAll "^[^=]*=?" $argument "") -}}
{{- else if $flag -}}
{{- $_ := set $flags (get $run.trainer.flags $flag | default $flag) $argument -}}
{{- end -}}
{{- $flag = empty $flag | ternary $argument "" -}}
{{- end -}}
{{- merge $sets $flags | toJson -}}
{{- end -}}

{{- /* Devices that share one copy of the network: mesh.model. One where it is no number: another rule says so. */ -}}
{{- define "resnet-train.group" -}}
{{- $text := get (include "resnet-train.requested" . | fromJson) "mesh.model" | default "1" -}}
{{- $size := regexReplaceAll "^[+]?0+" $text "" | int64 -}}{{/* not octal */}}
{{- if or .values.command (lt $size 1) }}1{{ else }}{{ $size }}{{ end -}}
{{- end -}}

{{- /* The global batch, where the request names one, must be a multiple of the run's devices, or of its groups. */ -}}
{{- define "resnet-train.batchRule" -}}
{{- $run := . -}}
{{- $requested := include "resnet-train.requested" . | fromJson -}}
{{- $batch := regexReplaceAll "^[+]?0+" (get $requested "train.batch" | default "0") "" | int64 -}}{{/* not octal */}}
{{- $size := include "resnet-train.group" . | int64 -}}
{{- $groups := mod $run.devices $size | empty | ternary (div $run.devices $size) 1 -}}
{{- $remainder := mod $batch $groups -}}
{{- if $remainder -}}
{{- $below := sub $batch $remainder -}}
{{- $near := empty $below | ternary (toString $groups) (print $below " or " (add $below $groups)) -}}
{{- $values := dict "devices" $groups "groups" $groups "size" $size "got" $batch "near" $near -}}
{{- include "resnet-train.wrong" (list $run (gt $size 1 | ternary "batch-groups" "batch") $values) -}}
{{- end -}}
{{- end -}}

{{- /* A recipe that is published for one family of networks. */ -}}
{{- define "resnet-train.recipeRule" -}}
{{- $run := . -}}
{{- $requested := include "resnet-train.requested" . | fromJson -}}
{{- $arch := get $requested "model.arch" | default .values.arch | default "" -}}
{{- $recipe := get $requested "--recipe" | default .values.recipe | default "" -}}
{{- $family := get .trainer.families $arch | default "" -}}
{{- $published := kindIs "string" $recipe | ternary (get .trainer.recipeFamilies (toString $recipe)) "" | default "" -}}
{{- if and $family $published (ne $family $published) (empty .values.command) -}}
{{- $fitting := list -}}
{{- range $name, $other := .trainer.recipeFamilies -}}
{{- if eq $other $family }}{{ $fitting = append $fitting $name }}{{ end -}}
{{- end -}}
{{- $fitting = append $fitting .trainer.pathRecipe -}}
{{- $values := dict "arch" $arch "family" $family "got" $recipe "published" $published "first" (first $fitting) "fitting" (join ", " $fitting) -}}
{{- include "resnet-train.wrong" (list $run "recipe-family" $values) -}}
{{- end -}}
{{- end -}}

{{- /* A named network honours only some of the settings of the section model. */ -}}
{{- define "resnet-train.networkRule" -}}
{{- $run := . -}}
{{- $requested := include "resnet-train.requested" . | fromJson -}}
{{- $arch := get $requested "model.arch" | default .values.arch | default "" -}}
{{- range $group := empty .values.command | ternary .trainer.networkSettings list -}}
{{- if has $arch $group.archs -}}
{{- range $path, $text := $requested -}}
{{- $row := get $run.trainer.fields $path | default dict -}}
{{- $read := and (hasKey $row "default") (regexMatch (get $run.trainer.forms $row.type) $text) -}}
{{- if and $read (not (has $path $group.settings)) -}}
{{- $same := eq $text (toString $row.default) -}}
{{- $shown := $text -}}
{{- if eq $row.type "bool" -}}
{{- $shown = has $text (list "true" "True" "1") | ternary "True" "False" -}}
{{- $same = eq $shown (ternary "True" "False" $row.default) -}}
{{- else if eq $row.type "str" -}}
{{- $shown = print "'" $text "'" -}}
{{- else -}}
{{- $same = eq (float64 $text) (float64 $row.default) -}}
{{- end -}}
{{- if not $same -}}
{{- $values := dict "field" $path "arch" $arch "got" $shown "settings" (join ", " $group.settings | default "none") -}}
{{- include "resnet-train.wrong" (list $run "network-setting" $values) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* A network for CIFAR has sn + 2 layers: whole blocks in three stages, and two layers in no block. */ -}}
{{- define "resnet-train.depthRule" -}}
{{- $run := . -}}
{{- $requested := include "resnet-train.requested" . | fromJson -}}
{{- $arch := get $requested "model.arch" | default .values.arch | default "" -}}
{{- $text := get $requested "model.depth" | default "0" -}}
{{- $depth := regexMatch .trainer.forms.int $text | ternary (regexReplaceAll "^[+]?0+" $text "" | int64) 0 -}}
{{- $step := get .trainer.layersPerStep $arch | default 0 | int64 -}}
{{- if and (gt $depth 0) (gt $step 0) (empty .values.command) -}}
{{- $inside := sub $depth 2 -}}
{{- $more := mod $inside $step -}}
{{- if or (lt $inside $step) $more -}}
{{- $below := sub $depth $more -}}
{{- $above := add $below $step -}}
{{- $near := toString $above -}}
{{- $most := $above -}}
{{- if lt $inside $step -}}
{{- $most = add $step 2 -}}
{{- $near = toString $most -}}
{{- else if eq (mul 2 $more) $step -}}
{{- $near = print $below " or " $above -}}
{{- else if lt (mul 2 $more) $step -}}
{{- $most = $below -}}
{{- $near = toString $below -}}
{{- end -}}
{{- $values := dict "arch" $arch "step" $step "near" $near "got" $depth "most" $most -}}
{{- include "resnet-train.wrong" (list $run "depth" $values) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* What mesh.model divides: the devices of a slice and, of a network that is listed, its layers. */ -}}
{{- define "resnet-train.meshRule" -}}
{{- $run := . -}}
{{- $requested := include "resnet-train.requested" . | fromJson -}}
{{- $size := include "resnet-train.group" . | int64 -}}
{{- $arch := get $requested "model.arch" | default .values.arch | default "" -}}
{{- $counts := get .trainer.modelAxis $arch | default dict -}}
{{- $devices := mul .slice.hosts .slice.devicesPerHost -}}
{{- if and (gt $size 1) (empty $counts) (has $arch .trainer.archs) -}}
{{- include "resnet-train.wrong" (list $run "mesh-arch" (dict "arch" $arch "got" $size)) -}}
{{- else if gt $size 1 -}}
{{- $heads := $counts.heads | default 0 | int64 -}}
{{- $hidden := $counts.hidden | default 0 | int64 -}}
{{- if or (mod $devices $size) (mod $heads $size) (mod $hidden $size) -}}
{{- $sizes := list -}}
{{- range $n := untilStep 1 (add $devices 1 | int) 1 -}}
{{- if not (or (mod $devices $n) (mod $heads $n) (mod $hidden $n)) }}{{ $sizes = append $sizes $n }}{{ end -}}
{{- end -}}
{{- $values := dict "arch" $arch "heads" $heads "hidden" $hidden "devices" $devices "got" $size "most" (last $sizes) "sizes" (join ", " $sizes) -}}
{{- include "resnet-train.wrong" (list $run (empty $counts | ternary "mesh-devices" "mesh-model") $values) -}}
{{- end -}}
{{- end -}}
{{- end -}}
