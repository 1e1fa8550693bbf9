#include "scratch.h"

#include "base/text.h"
#include "io/chat/form.h"
#include "io/chat/known.h"
#include "io/chat/template.h"

/* template; its form, with <s> and </s> for bos and eos; NULL for none */
static const char *const forms[][2] = {
    {"", ""},
    {"a b\n", "a b"},
    {"{{ a }}", "{a}"},
    {"{{ 'a' + \"b\" ~ c.d }}", "ab{c.d}"},
    {"{{ (('a' + b)) + ('c') }}", "a{b}c"},
    {"{{ bos_token + 'x' + eos_token }}", "<s>x</s>"},
    {"{{ 'a' + b | trim }}", "a{b|trim}"},
    {"{{ ('a' + b) | trim }}", "{('a'+b)|trim}"},
    {"{{ 'a' + b if c else d }}", "{'a'+b if c else d}"},
    {"{{ m['role'] + m[\"content\"] + m['other'] }}", "{m.role}{m.content}{m['other']}"},
    {"{{ 'a%{}\\\\n\\n' }}", "a\\%\\{\\}\\\\n\n"},
    {"{{ {'a': {'b': 1}} }}", "{{'a':{'b':1}}}"},
    {"a {#- c -#} b", "ab"},
    {"a {# c #} b", "a  b"},
    {"{% if a %}\n  x\n  {% endif %}\ny", "%if a%  x\n%endif%y"},
    {"{% if a -%}\n  x\n  {%- endif %}\ny", "%if a%x%endif%y"},
    {"  {%+ if a %}x", "  %if a%x"},
    {"z  {% if a %}x", "z  %if a%x"},
    {"{%- if a%2==0 and b!='c\\'' -%}", "%if a\\%2==0 and b!='c\\''%"},
    {"{% set a = 'x' + b %}", "%set a=x{b}%"},
    {"{% generation %}x{% endgeneration %}", "x"},
    {"{% raw %}x{% endraw %}", NULL},
    {"{{ a", NULL},
    {"{% if a }}", NULL},
    {"{{ 'a }}", NULL},
    {"{{ '\\u0041' }}", NULL},
    {"{{ }}", NULL},
    {"{# a", NULL},
    {"a\r\nb", NULL},
};

Test(chat_template, writes_in_one_way_what_can_be_written_in_several) {
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
    ld_text form = {0};
    ld_text_puts(&form, "");
    const bool good = ld_chat_form(forms[i][0], strlen(forms[i][0]), "<s>", "</s>", &form);
    cr_assert_eq(good, forms[i][1] != NULL, "%s", forms[i][0]);
    if (good) cr_assert_str_eq(form.bytes, forms[i][1], "%s", forms[i][0]);
    ld_text_free(&form);
  }
}

#define ANSWER "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

/* template; its layout, or NULL. Each but the last few renders as the layout does, also in transformers. */
static const char *const templates[][2] = {
    {"{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + "
     "'<|im_end|>' + "
     "'\\n'}}{% endfor %}" ANSWER,
     "chatml"},
    {"{% for message in messages %}\n<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% "
     "endfor %}\n"
     "{% if add_generation_prompt %}\n<|im_start|>assistant\n{% endif %}",
     "chatml"},
    {"{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
     "{% for message in messages %}{% if message['role'] == 'user' %}{{'<|im_start|>user\\n' + "
     "message['content'] + "
     "'<|im_end|>\\n'}}{% elif message['role'] == 'assistant' %}{{'<|im_start|>assistant\\n' + "
     "message['content'] + "
     "'<|im_end|>\\n' }}{% else %}{{ '<|im_start|>system\\n' + message['content'] + '<|im_end|>\\n' }}{% "
     "endif %}"
     "{% endfor %}" ANSWER,
     "chatml"},
    {"{{- bos_token }}\n{%- for message in messages %}\n  {{- '<|start_header_id|>' + message['role'] + "
     "'<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}\n{%- endfor %}\n"
     "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif "
     "%}",
     "llama3"},
    {"{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = "
     "messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false "
     "%}{% endif %}"
     "{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
     "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
     "{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + "
     "'\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}"
     "{% if message['role'] == 'user' %}{{ '<s>' + '[INST] ' + content.strip() + ' [/INST]' }}"
     "{% elif message['role'] == 'system' %}{{ '<<SYS>>\\n' + content.strip() + '\\n<</SYS>>\\n\\n' }}"
     "{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + '</s>' }}{% endif %}{% "
     "endfor %}",
     "llama2"},
    {"{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + "
     "'<|im_end|>'}}{% endfor %}" ANSWER,
     NULL},
    {"{{ bos_token }}{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
     "message['content'] + "
     "'<|im_end|>\\n'}}{% endfor %}" ANSWER,
     NULL},
    {"{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + "
     "'<|im_end|>\\n'}}{% endfor %}" ANSWER,
     NULL},
    {"{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + "
     "'<|im_end|>\\n'}}{% endfor %}{{ '<|im_start|>assistant\\n' }}",
     NULL},
    {"", NULL},
};

Test(chat_template, is_known_by_what_it_gives) {
  for (size_t i = 0; i < sizeof templates / sizeof *templates; i++) {
    ld_text form = {0};
    ld_text_puts(&form, "");
    cr_assert(ld_chat_form(templates[i][0], strlen(templates[i][0]), i == 3 ? "<|begin_of_text|>" : "<s>",
                           NULL, &form));
    const char *layout = ld_chat_known(form.bytes);
    cr_assert_eq(layout != NULL, templates[i][1] != NULL, "%s: %s", templates[i][0], form.bytes);
    if (layout) cr_assert_str_eq(layout, templates[i][1]);
    ld_text_free(&form);
  }
}

static ld_chat_template *read_own(const char *folder) {
  ld_chat_template *own;
  ld_error err = {0};
  cr_assert_eq(ld_chat_template_read(folder, NULL, NULL, &own, &err), 0, "%s", err.text);
  return own;
}

static void expect(const char *folder, const char *text) {
  ld_chat_template *own = read_own(folder);
  cr_assert(own);
  cr_assert_str_eq(own->text.bytes, text);
  cr_assert(strstr(own->source, folder));
  ld_chat_template_free(own);
}

Test(chat_template, stands_in_several_places_in_the_order_of_transformers) {
  char *folder = scratch_new();
  cr_assert_null(read_own(folder));
  scratch_text(folder, "chat_template.json", "{\"chat_template\": \"a\"}");
  expect(folder, "a");
  scratch_text(folder, "tokenizer_config.json", "{\"chat_template\": null}");
  expect(folder, "a");
  scratch_text(folder, "tokenizer_config.json",
               "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"x\"}]}");
  expect(folder, "");
  scratch_text(folder, "tokenizer_config.json",
               "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"x\"}, {\"name\": \"default\", "
               "\"template\": "
               "\"b\"}]}");
  expect(folder, "b");
  scratch_text(folder, "tokenizer_config.json", "{\"chat_template\": \"c\"}");
  expect(folder, "c");
  scratch_text(folder, "chat_template.jinja", "d");
  expect(folder, "d");
  char *more = ld_path_join(folder, "additional_chat_templates");
  ld_error err = {0};
  cr_assert_eq(ld_make_folders(more, &err), 0);
  scratch_text(more, "tool_use.jinja", "x");
  expect(folder, "d");
  scratch_text(more, "default.jinja", "e");
  expect(folder, "e");
  free(more);
  scratch_end(folder);
}

/* text; what it adds */
static const char *const extras[][2] = {
    {"{{ message.content }}", ""},
    {"{{ 'You are a cat.' }}", "a default system message"},
    {"{% if tools %}You are provided with functions{% endif %}", "tools"},
    {"<think>{{ message.reasoning_content }}{{ strftime_now('%d') }}", "a thinking block, a date"},
};

Test(chat_template, shows_what_it_adds) {
  for (size_t i = 0; i < sizeof extras / sizeof *extras; i++) {
    ld_chat_template own = {0};
    ld_text out = {0};
    ld_text_puts(&own.text, extras[i][0]);
    ld_text_puts(&out, "");
    ld_chat_template_extras(&own, &out);
    cr_assert_str_eq(out.bytes, extras[i][1]);
    ld_text_free(&own.text);
    ld_text_free(&out);
  }
}
