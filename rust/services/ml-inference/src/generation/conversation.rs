//! Conversations as the prompts that a model was trained on: its own chat template, in Jinja.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, ErrorKind, context};

use crate::error::Error;

/// A message of a conversation, as chat templates know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: &'static str,
    /// What is said.
    pub content: String,
}

/// A model's chat template.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
    takes_tools: bool,
    bos: String,
    eos: String,
}

const NAME: &str = "chat";

impl Template {
    /// Reads a template; `bos` and `eos` are the texts of the model's begin and end tokens.
    ///
    /// # Errors
    /// It is no Jinja.
    pub fn new(source: String, bos: String, eos: String) -> Result<Self, String> {
        let mut environment = Environment::new();
        // As transformers does it (chat_template_utils.py), for which templates are written.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| error.to_string())?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |text: String| -> Result<String, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, text))
        });
        let takes_tools = source.contains("tools");
        environment.add_template_owned(NAME, source).map_err(|error| error.to_string())?;
        Ok(Self { environment, takes_tools, bos, eos })
    }

    /// Whether the template has a place for tools.
    pub fn takes_tools(&self) -> bool {
        self.takes_tools
    }

    /// Text of the model's begin token.
    pub fn bos(&self) -> &str {
        &self.bos
    }

    /// The prompt that asks for the next message of the assistant.
    ///
    /// # Errors
    /// The template refuses the conversation.
    pub fn render(&self, messages: &[Message]) -> Result<String, Error> {
        let refuse = |error: minijinja::Error| Error::Template(error.detail().unwrap_or("it fails").to_owned());
        let template = self.environment.get_template(NAME).map_err(refuse)?;
        let values = context! {
            messages => messages.iter().map(value).collect::<Vec<Value>>(),
            add_generation_prompt => true,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
        };
        template.render(values).map_err(refuse)
    }
}

fn value(message: &Message) -> Value {
    context! { role => message.role, content => message.content.as_str() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(role: &'static str, content: &str) -> Message {
        Message { role, content: content.to_owned() }
    }

    fn template(source: &str) -> Template {
        Template::new(source.to_owned(), "<s>".to_owned(), "</s>".to_owned()).unwrap()
    }

    /// SmolLM2's, as its GGUF has it.
    const CHATML: &str = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    #[test]
    fn template_renders_as_its_model_was_trained() {
        let prompt = template(CHATML).render(&[message("system", "Be brief."), message("user", "Hi")]).unwrap();
        assert_eq!(
            prompt,
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        );
        let prompt = template(CHATML).render(&[message("user", "Hi")]).unwrap();
        assert!(prompt.starts_with("<|im_start|>system\nYou are a helpful AI assistant named SmolLM"), "{prompt}");
    }

    #[test]
    fn template_may_use_pythons_methods_and_know_tools() {
        let template = template("{{ bos_token }}{{ messages[0].content.strip().upper() }}{% if tools %}{% endif %}");
        assert_eq!(template.render(&[message("user", " a ")]).unwrap(), "<s>A");
        assert!(template.takes_tools());
    }

    #[test]
    fn template_that_refuses_says_why() {
        let error = template("{{ raise_exception('roles must alternate') }}").render(&[]).unwrap_err();
        assert_eq!(error.to_string(), "messages: the model's chat template refuses them: roles must alternate");
    }

    #[test]
    fn template_that_is_no_jinja_is_refused() {
        assert!(Template::new("{% for %}".to_owned(), String::new(), String::new()).is_err());
    }
}
