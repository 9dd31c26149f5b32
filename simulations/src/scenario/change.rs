//! Scenarios made from others, and from parts of other files.

use std::path::Path;

use toml::{Table, Value};

use super::{Scenario, ScenarioError, files::Files, keypath, read};

impl Scenario {
    /// Takes a scenario as a table, as one inside another file. Trace and matrix files are found
    /// from `directory`.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn from_table(table: Table, directory: &Path) -> Result<Self, ScenarioError> {
        Self::new(read::model(table)?, Files::beside(directory))
    }

    /// Changes the values at several key paths together and then checks the scenario: on the way
    /// there it need not be possible, as with `topology.layers` and `topology.weights`.
    ///
    /// # Errors
    /// As [`set`](Self::set); then this scenario is as it was.
    pub fn set_all(&mut self, settings: &[(String, Value)]) -> Result<(), ScenarioError> {
        let mut table = self.table()?;
        for (path, value) in settings {
            keypath::set(&mut table, path, value.clone())?;
        }
        *self = Self::new(read::model(table)?, self.files.clone())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Scenario;
    use toml::Value;

    const TEXT: &str = "[run]\nmeasure = \"1s\"\n[topology]\nkind = \"stratified\"\nwidths = [1, 2]\n\
        weights = [[1.0], [1.0, 3.0]]\n[delay]\nmixes = { distribution = \"exponential\", mean = \"1s\" }\n\
        [[clients]]\nname = \"a\"\ncount = 2\nrates = { real = 1.0 }";

    #[test]
    fn keys_that_fit_only_together_are_set_together() {
        let mut scenario =
            Scenario::from_table(toml::from_str(TEXT).unwrap(), Path::new("")).unwrap();
        let value = |text: &str| -> Value {
            let mut table: toml::Table = toml::from_str(&format!("v = {text}")).unwrap();
            table.remove("v").unwrap()
        };
        let widths = ("topology.widths".to_owned(), value("[2]"));
        let weights = ("topology.weights".to_owned(), value("[[1.0, 1.0]]"));
        let before = scenario.hash();
        assert!(scenario.set_all(std::slice::from_ref(&widths)).is_err());
        assert_eq!(scenario.hash(), before);
        scenario.set_all(&[widths, weights]).unwrap();
        assert_eq!(scenario.model().topology.widths(), [2]);
        assert_ne!(scenario.hash(), before);
    }
}
